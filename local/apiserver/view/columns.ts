/** Pure data. What `kubectl get` shows for each built-in kind: paths where a path is enough, functions for the rest. */
import type { V1Node, V1Service } from "@kubernetes/client-node";
import { type ApiObject, dig, digString } from "../object.ts";
import { ageText } from "./age.ts";
import { jsonPath, jsonPathValues } from "./json-path.ts";
import { podColumns } from "./pod-columns.ts";

export interface Column {
  readonly name: string;
  /** 1 shows in `-o wide` only. */
  readonly priority: number;
  readonly type: string;
  cell(object: ApiObject, nowMs: number): unknown;
}

const NONE = "<none>";

function column(name: string, cell: Column["cell"], priority = 0, type = "string"): Column {
  return { name, cell, priority, type };
}

/** The value at a path; `missing` where there is none. */
function at(name: string, path: string, missing = NONE, priority = 0): Column {
  return column(name, (object) => jsonPath(object, path) ?? missing, priority);
}

function count(name: string, cell: (object: ApiObject) => number): Column {
  return column(name, cell, 0, "integer");
}

/** A number at a path; 0 where there is none. */
function number(name: string, path: string): Column {
  return count(name, (object) => Number(jsonPath(object, path) ?? 0));
}

/** `a=1,b=2` of the map at a path. */
function pairs(name: string, path: string, priority = 0): Column {
  const text = (map: unknown): string =>
    Object.entries((map ?? {}) as Record<string, string>)
      .map(([key, value]) => `${key}=${value}`)
      .join(",") || NONE;
  return column(name, (object) => text(jsonPath(object, path)), priority);
}

export const NAME = at("Name", ".metadata.name");
const AGE = column("Age", (object, now) => ageText(object.metadata.creationTimestamp, now));
const CREATED = at("Created At", ".metadata.creationTimestamp");
const ROLE = column(
  "Role",
  (object) => `${String(dig(object, "roleRef", "kind"))}/${String(dig(object, "roleRef", "name"))}`,
);
const WORKLOAD = [
  AGE,
  at("Containers", ".spec.template.spec.containers[*].name", "", 1),
  at("Images", ".spec.template.spec.containers[*].image", "", 1),
  pairs("Selector", ".spec.selector.matchLabels", 1),
];
const data = (...fields: readonly string[]): Column =>
  count("Data", (object) => fields.reduce((sum, field) => sum + Object.keys(object[field] ?? {}).length, 0));

function servicePorts(object: ApiObject): string {
  const { spec } = object as unknown as V1Service;
  const ports = (spec?.ports ?? []).map(
    ({ port, nodePort, protocol }) => `${port}${nodePort === undefined ? "" : `:${nodePort}`}/${protocol}`,
  );
  return ports.join(",") || NONE;
}

function externalAddress(object: ApiObject): string {
  const { spec, status } = object as unknown as V1Service;
  if (spec?.type === "ExternalName") return spec.externalName ?? "";
  const assigned = (status?.loadBalancer?.ingress ?? []).map((item) => item.ip ?? item.hostname ?? "");
  const addresses = [...(spec?.externalIPs ?? []), ...assigned];
  if (addresses.length > 0) return addresses.join(",");
  return spec?.type === "LoadBalancer" ? "<pending>" : NONE;
}

function nodeStatus(object: ApiObject): string {
  const ready = jsonPath(object, '.status.conditions[?(@.type=="Ready")].status') === "True";
  const { spec } = object as unknown as V1Node;
  return `${ready ? "Ready" : "NotReady"}${spec?.unschedulable === true ? ",SchedulingDisabled" : ""}`;
}

function nodeRoles(object: ApiObject): string {
  const prefix = "node-role.kubernetes.io/";
  const labels = Object.keys(object.metadata.labels ?? {}).filter((label) => label.startsWith(prefix));
  return labels.map((label) => label.slice(prefix.length)).join(",") || NONE;
}

/** Of a node's addresses the first one. */
function nodeAddress(object: ApiObject): unknown {
  return jsonPathValues(object, '.status.addresses[?(@.type=="InternalIP")].address')[0] ?? NONE;
}

function sliceEndpoints(object: ApiObject): string {
  const addresses = jsonPathValues(object, ".endpoints[*].addresses[*]");
  const more = addresses.length > 3 ? ` + ${addresses.length - 3} more...` : "";
  return `${addresses.slice(0, 3).join(",")}${more}` || "<unset>";
}

function lastSeen(object: ApiObject, now: number): string {
  const [time] = ["lastTimestamp", "eventTime", "firstTimestamp"].flatMap(
    (field) => digString(object, field) ?? [],
  );
  return ageText(time, now);
}

function eventObject(object: ApiObject): string {
  const kind = digString(object, "involvedObject", "kind") ?? "";
  return `${kind.toLowerCase()}/${digString(object, "involvedObject", "name") ?? ""}`;
}

const COLUMNS: Readonly<Record<string, readonly Column[]>> = {
  pods: podColumns,
  services: [
    NAME,
    at("Type", ".spec.type"),
    at("Cluster-IP", ".spec.clusterIP"),
    column("External-IP", externalAddress),
    column("Port(s)", servicePorts),
    AGE,
    pairs("Selector", ".spec.selector", 1),
  ],
  namespaces: [NAME, at("Status", ".status.phase"), AGE],
  nodes: [
    NAME,
    column("Status", nodeStatus),
    column("Roles", nodeRoles),
    AGE,
    at("Version", ".status.nodeInfo.kubeletVersion"),
    column("Internal-IP", nodeAddress, 1),
    column("External-IP", () => NONE, 1),
    at("OS-Image", ".status.nodeInfo.osImage", "<unknown>", 1),
    at("Kernel-Version", ".status.nodeInfo.kernelVersion", "<unknown>", 1),
    at("Container-Runtime", ".status.nodeInfo.containerRuntimeVersion", "<unknown>", 1),
  ],
  configmaps: [NAME, data("data", "binaryData"), AGE],
  secrets: [NAME, at("Type", ".type"), data("data"), AGE],
  serviceaccounts: [NAME, count("Secrets", (object) => jsonPathValues(object, ".secrets[*]").length), AGE],
  endpoints: [NAME, at("Endpoints", ".subsets[*].addresses[*].ip"), AGE],
  events: [
    column("Last Seen", lastSeen),
    at("Type", ".type", ""),
    at("Reason", ".reason", ""),
    column("Object", eventObject),
    column("Message", (object) => (digString(object, "message") ?? "").trim()),
  ],
  "deployments.apps": [
    NAME,
    column(
      "Ready",
      ({ spec, status }) =>
        `${Number(dig(status, "readyReplicas") ?? 0)}/${Number(dig(spec, "replicas") ?? 0)}`,
    ),
    number("Up-to-date", ".status.updatedReplicas"),
    number("Available", ".status.availableReplicas"),
    ...WORKLOAD,
  ],
  "replicasets.apps": [
    NAME,
    number("Desired", ".spec.replicas"),
    number("Current", ".status.replicas"),
    number("Ready", ".status.readyReplicas"),
    ...WORKLOAD,
  ],
  "daemonsets.apps": [
    NAME,
    number("Desired", ".status.desiredNumberScheduled"),
    number("Current", ".status.currentNumberScheduled"),
    number("Ready", ".status.numberReady"),
    number("Up-to-date", ".status.updatedNumberScheduled"),
    number("Available", ".status.numberAvailable"),
    pairs("Node Selector", ".spec.template.spec.nodeSelector"),
    ...WORKLOAD,
  ],
  "endpointslices.discovery.k8s.io": [
    NAME,
    at("AddressType", ".addressType"),
    at("Ports", ".ports[*].port", "<unset>"),
    column("Endpoints", sliceEndpoints),
    AGE,
  ],
  "leases.coordination.k8s.io": [NAME, at("Holder", ".spec.holderIdentity", ""), AGE],
  "customresourcedefinitions.apiextensions.k8s.io": [NAME, CREATED],
  "roles.rbac.authorization.k8s.io": [NAME, CREATED],
  "clusterroles.rbac.authorization.k8s.io": [NAME, CREATED],
  "rolebindings.rbac.authorization.k8s.io": [NAME, ROLE, AGE],
  "clusterrolebindings.rbac.authorization.k8s.io": [NAME, ROLE, AGE],
};

export function builtinColumns(id: string): readonly Column[] {
  return COLUMNS[id] ?? [NAME, AGE];
}
