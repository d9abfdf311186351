/** Pure. Whether a pod may run on a node: labels, affinity, taints, host ports, cordon. */
import type {
  V1Node,
  V1NodeSelectorRequirement,
  V1NodeSelectorTerm,
  V1Pod,
  V1PodSpec,
  V1Taint,
  V1Toleration,
} from "@kubernetes/client-node";
import type { ApiObject } from "../object.ts";

/** Why it may not, in the scheduler's words; undefined when it fits. */
export function misfit(
  spec: V1PodSpec,
  node: ApiObject,
  podsThere: readonly ApiObject[],
): string | undefined {
  const { spec: { taints = [], unschedulable = false } = {} } = node as unknown as V1Node;
  if (!selectorMatches(spec, node)) return "didn't match Pod's node affinity/selector";
  const taint = untolerated(spec, taints, unschedulable);
  if (taint !== undefined) return `had untolerated taint {${taint.key}: ${taint.value ?? ""}}`;
  const goesAnywhere = tolerates(spec.tolerations ?? [], {
    key: "node.kubernetes.io/not-ready",
    effect: "NoSchedule",
  });
  if (!goesAnywhere && !isReadyNode(node)) return "was not ready";
  return hostPortTaken(spec, podsThere) ? "didn't have free ports for the requested pod ports" : undefined;
}

function isReadyNode(node: ApiObject): boolean {
  const conditions = (node as unknown as V1Node).status?.conditions ?? [];
  return conditions.some((condition) => condition.type === "Ready" && condition.status === "True");
}

function selectorMatches(spec: V1PodSpec, node: ApiObject): boolean {
  const labels = node.metadata.labels ?? {};
  if (!Object.entries(spec.nodeSelector ?? {}).every(([key, value]) => labels[key] === value)) return false;
  const terms =
    spec.affinity?.nodeAffinity?.requiredDuringSchedulingIgnoredDuringExecution?.nodeSelectorTerms;
  return terms === undefined || terms.some((term) => termMatches(term, node));
}

function termMatches(term: V1NodeSelectorTerm, node: ApiObject): boolean {
  const fields: Record<string, string> = { "metadata.name": node.metadata.name };
  const expressions = term.matchExpressions ?? [];
  const matchFields = term.matchFields ?? [];
  if (expressions.length + matchFields.length === 0) return false;
  return (
    expressions.every((requirement) => requirementHolds(requirement, node.metadata.labels ?? {})) &&
    matchFields.every((requirement) => requirementHolds(requirement, fields))
  );
}

function requirementHolds(
  { key, operator, values = [] }: V1NodeSelectorRequirement,
  labels: Readonly<Record<string, string>>,
): boolean {
  const value = labels[key];
  switch (operator) {
    case "In":
      return value !== undefined && values.includes(value);
    case "NotIn":
      return value === undefined || !values.includes(value);
    case "Exists":
      return value !== undefined;
    case "DoesNotExist":
      return value === undefined;
    case "Gt":
      return Number(value) > Number(values[0]);
    case "Lt":
      return Number(value) < Number(values[0]);
    default:
      return false;
  }
}

function untolerated(spec: V1PodSpec, taints: readonly V1Taint[], cordoned: boolean): V1Taint | undefined {
  const all = cordoned
    ? [...taints, { key: "node.kubernetes.io/unschedulable", effect: "NoSchedule" }]
    : taints;
  return all.find(
    (taint) => taint.effect !== "PreferNoSchedule" && !tolerates(spec.tolerations ?? [], taint),
  );
}

function tolerates(tolerations: readonly V1Toleration[], taint: V1Taint): boolean {
  return tolerations.some((toleration) => {
    const effect = toleration.effect === undefined || toleration.effect === taint.effect;
    const key =
      (toleration.key ?? "") === "" ? toleration.operator === "Exists" : toleration.key === taint.key;
    const value = toleration.operator === "Exists" || (toleration.value ?? "") === (taint.value ?? "");
    return effect && key && value;
  });
}

function hostPorts(spec: V1PodSpec | undefined): Set<string> {
  const ports = (spec?.containers ?? []).flatMap((container) => container.ports ?? []);
  return new Set(
    ports
      .filter((port) => (port.hostPort ?? 0) > 0)
      .map((port) => `${port.hostPort}/${port.protocol ?? "TCP"}`),
  );
}

function hostPortTaken(spec: V1PodSpec, podsThere: readonly ApiObject[]): boolean {
  const wanted = hostPorts(spec);
  return (
    wanted.size > 0 &&
    podsThere.some((pod) => !hostPorts((pod as unknown as V1Pod).spec).isDisjointFrom(wanted))
  );
}
