/** Pure. A Gateway of class istio-waypoint as the mesh sees it. */
import { jsonList, jsonObject, jsonText } from "#core/k8s/json-read.ts";
import type { CustomObject, NamespaceObject } from "#core/k8s/object-types.ts";
import { ANNOTATION_BINDING, AUTOMATIC_WAYPOINT, WAYPOINT_CLASS } from "#core/model/waypoint.ts";
import type { TranslationProblem } from "../../translate/problem.ts";
import { ANNOTATION_CLIENT_CERT } from "./client-cert-field.ts";
import { NO_RECORD, parseRecord, type WaypointRecord } from "./waypoint-record.ts";

/** `istio.io/waypoint-for`. */
export type ServedTraffic = "service" | "workload" | "all" | "none";

export interface WaypointGateway {
  /** `namespace/name`. */
  readonly key: string;
  readonly namespace: string;
  readonly name: string;
  readonly uid: string;
  readonly resourceVersion: string;
  readonly generation: number;
  /** Made by the controller for its namespace. */
  readonly automatic: boolean;
  readonly serves: ServedTraffic;
  /** Whether namespaces other than its own may use it. */
  readonly admits: AdmittedNamespaces;
  readonly deleting: boolean;
  readonly record: WaypointRecord;
  /** What is wrong with the record; nothing of it counts then, and nothing that it may have closed is opened. */
  readonly lost: string | undefined;
  readonly conditions: readonly unknown[];
  readonly problems: readonly TranslationProblem[];
}

export type AdmittedNamespaces =
  | { readonly kind: "same" }
  | { readonly kind: "all" }
  | { readonly kind: "selector"; readonly labels: Readonly<Record<string, string>> };

const RECORD_MISSING = "is missing";

const LABEL_WAYPOINT_FOR = "istio.io/waypoint-for";
const SERVED: ReadonlySet<string> = new Set(["service", "workload", "all", "none"]);

/** Undefined for gateways of other classes. */
export function readWaypointGateway(gateway: CustomObject): WaypointGateway | undefined {
  const spec = jsonObject(gateway.spec);
  if (jsonText(spec["gatewayClassName"]) !== WAYPOINT_CLASS) return undefined;
  const { namespace, name, uid, resourceVersion, generation, labels, annotations, deletionMs } =
    gateway.metadata;
  const problems: TranslationProblem[] = [];
  const report = (path: string, message: string): void => {
    problems.push({ kind: "Gateway", namespace, name, generation, path, reason: "Invalid", message });
  };
  const { record, lost } = readRecord(gateway, annotations[ANNOTATION_BINDING]);
  if (lost !== undefined) report(`metadata.annotations ${ANNOTATION_BINDING}`, lost);
  const serves = labels[LABEL_WAYPOINT_FOR] ?? "service";
  if (!SERVED.has(serves))
    report(`metadata.labels ${LABEL_WAYPOINT_FOR}`, `"${serves}" is not known; it serves services`);
  const clientCert = annotations[ANNOTATION_CLIENT_CERT] ?? "false";
  if (clientCert !== "true" && clientCert !== "false")
    report(`metadata.annotations ${ANNOTATION_CLIENT_CERT}`, `"${clientCert}" is neither true nor false`);
  return {
    key: `${namespace}/${name}`,
    namespace,
    name,
    uid,
    resourceVersion,
    generation,
    // Whoever made it: the name is reserved, and what it closed stays closed.
    automatic: name === AUTOMATIC_WAYPOINT,
    serves: SERVED.has(serves) ? (serves as ServedTraffic) : "service",
    admits: admittedBy(spec["listeners"]),
    deleting: deletionMs !== undefined,
    record,
    lost,
    conditions: gateway.conditions,
    problems,
  };
}

/**
 * Admission lets nobody but the controller write the record, and it writes none that it could not read: what is wrong came around admission, or
 * from another version. A Gateway of people has none until its waypoint has been made.
 */
function readRecord(
  { metadata, conditions }: CustomObject,
  text: string | undefined,
): Pick<WaypointGateway, "record" | "lost"> {
  const read = parseRecord(text ?? "");
  if (read.ok) return { record: read.value, lost: undefined };
  const [problem] = read.problems;
  const unreadable = `${problem?.path ?? ""} ${problem?.message ?? "is malformed"}`.trim();
  const isNew = text === undefined && metadata.name !== AUTOMATIC_WAYPOINT && !wasProgrammed(conditions);
  return { record: NO_RECORD, lost: isNew ? undefined : text === undefined ? RECORD_MISSING : unreadable };
}

function wasProgrammed(conditions: readonly unknown[]): boolean {
  return conditions.map(jsonObject).some(({ type, status }) => type === "Programmed" && status === "True");
}

/** It only serves what is left, or nothing: none of its objects is made again, by whichever leader. */
export function isLeaving({ automatic, record }: WaypointGateway, isWanted: boolean): boolean {
  return automatic && !isWanted && record.bindings.every(({ stage }) => stage === "resting");
}

/** Somebody took the reserved name before anything needed it. */
export function isNobodys({ automatic, lost }: WaypointGateway, isWanted: boolean): boolean {
  return automatic && lost === RECORD_MISSING && !isWanted;
}

/** Whether an object of `namespace` may name the waypoint (Gateway API: allowedRoutes of its listener). */
export function mayAttach(
  gateway: WaypointGateway,
  namespace: string,
  object: NamespaceObject | undefined,
): boolean {
  if (gateway.namespace === namespace) return true;
  if (gateway.automatic || gateway.admits.kind === "same") return false;
  if (gateway.admits.kind === "all") return true;
  const labels = object?.metadata.labels ?? {};
  return Object.entries(gateway.admits.labels).every(([key, value]) => labels[key] === value);
}

/** Anything but what is understood counts as its own namespace alone. */
function admittedBy(listeners: unknown): AdmittedNamespaces {
  for (const listener of jsonList(listeners)) {
    const { from, selector } = jsonObject(jsonObject(jsonObject(listener)["allowedRoutes"])["namespaces"]);
    if (from === "All") return { kind: "all" };
    const { matchLabels, ...rest } = jsonObject(selector);
    if (from !== "Selector" || Object.keys(rest).length > 0) continue;
    const labels = Object.entries(jsonObject(matchLabels)).map(([k, v]) => [k, jsonText(v)] as const);
    if (labels.length > 0) return { kind: "selector", labels: Object.fromEntries(labels) };
  }
  return { kind: "same" };
}
