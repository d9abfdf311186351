/** Pure. Label and field selectors as they stand in queries, and LabelSelector objects. */
import type { V1LabelSelector } from "@kubernetes/client-node";
import { badRequest } from "../http/status-error.ts";
import { type ApiObject, dig } from "../object.ts";
import type { Resource } from "../registry/resource.ts";

export type Match = (object: ApiObject) => boolean;
type Labels = Readonly<Record<string, string>>;

const MAX_LENGTH = 16_384;
const REQUIREMENT =
  /\s*(?:(!)\s*([\w./-]+)|([\w./-]+)\s*(?:(in|notin)\s*\(([^)]*)\)|(==|=|!=)\s*([\w.-]*)|(>|<)\s*(-?\d+))?)\s*(?:,|$)/gy;

/** `a=b,c!=d,e in (f,g),!h`. Throws 400 when it cannot be read. */
export function labelSelector(text: string): Match {
  const tests: ((labels: Labels) => boolean)[] = [];
  if (text.length > MAX_LENGTH) throw badRequest("label selector is too long");
  const pattern = new RegExp(REQUIREMENT);
  while (pattern.lastIndex < text.length) {
    const at = pattern.lastIndex;
    const match = pattern.exec(text);
    if (match === null || pattern.lastIndex === at)
      throw badRequest(`unable to parse requirement: found '${text.slice(at, at + 64)}'`);
    tests.push(requirement(match));
  }
  return (object) => {
    const labels = object.metadata.labels ?? {};
    return tests.every((test) => test(labels));
  };
}

function requirement(match: RegExpExecArray): (labels: Labels) => boolean {
  const [, not, absent = "", key = "", setOperator, set = "", operator, value = "", order, number] = match;
  const has = (labels: Labels): boolean => Object.hasOwn(labels, key);
  if (not !== undefined) return (labels) => !Object.hasOwn(labels, absent);
  if (setOperator !== undefined) {
    const values = new Set(set.split(",").map((item) => item.trim()));
    const within = (labels: Labels): boolean => has(labels) && values.has(labels[key] ?? "");
    return setOperator === "in" ? within : (labels) => !within(labels);
  }
  if (operator !== undefined) {
    const equals = (labels: Labels): boolean => has(labels) && labels[key] === value;
    return operator === "!=" ? (labels) => !equals(labels) : equals;
  }
  if (order === undefined) return has;
  const limit = Number(number);
  return (labels) =>
    has(labels) && (order === ">" ? Number(labels[key]) > limit : Number(labels[key]) < limit);
}

/** A LabelSelector object against labels; an absent or empty selector matches everything. */
export function selectorMatches(selector: V1LabelSelector | undefined, labels: Labels = {}): boolean {
  if (selector === undefined) return true;
  const pairs = Object.entries(selector.matchLabels ?? {}).every(([key, value]) => labels[key] === value);
  return (
    pairs &&
    (selector.matchExpressions ?? []).every((expression) => {
      const has = Object.hasOwn(labels, expression.key);
      const listed = has && (expression.values ?? []).includes(labels[expression.key] ?? "");
      if (expression.operator === "In") return listed;
      if (expression.operator === "NotIn") return !listed;
      return expression.operator === "Exists" ? has : !has;
    })
  );
}

const FIELDS: Readonly<Record<string, string>> = {
  pods: "spec.nodeName spec.restartPolicy spec.schedulerName spec.serviceAccountName spec.hostNetwork status.phase status.podIP status.podIPs status.nominatedNodeName",
  events:
    "involvedObject.kind involvedObject.namespace involvedObject.name involvedObject.uid involvedObject.apiVersion involvedObject.resourceVersion involvedObject.fieldPath reason reportingComponent source type",
  namespaces: "status.phase",
  nodes: "spec.unschedulable",
  secrets: "type",
  services: "spec.clusterIP spec.type",
  "replicasets.apps": "status.replicas",
};

/** `metadata.name=a,status.phase!=Running`. Throws 400 for a field the kind cannot be selected by. */
export function fieldSelector(text: string, resource: Resource): Match {
  const allowed = new Set([
    "metadata.name",
    "metadata.namespace",
    ...(FIELDS[resource.id]?.split(" ") ?? []),
    ...(resource.custom?.selectableFields ?? []),
  ]);
  if (text.length > MAX_LENGTH) throw badRequest("field selector is too long");
  const tests = text
    .split(",")
    .filter((term) => term !== "")
    .map((term): Match => {
      const match = /^([^=!]+)(==|!=|=)(.*)$/.exec(term);
      if (match === null) throw badRequest(`invalid selector: '${text}'; can't understand '${term}'`);
      const [, field = "", operator, value = ""] = match;
      if (!allowed.has(field)) throw badRequest(`field label not supported: ${field}`);
      const path = field.split(".");
      return (object) => (fieldText(dig(object, ...path)) === value) === (operator !== "!=");
    });
  return (object) => tests.every((test) => test(object));
}

function fieldText(value: unknown): string {
  return typeof value === "string" || typeof value === "number" || typeof value === "boolean"
    ? String(value)
    : "";
}
