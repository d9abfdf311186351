/** Pure data. What `kubectl get` shows for each built-in kind. */
import type {
  CoreV1Event,
  V1DaemonSet,
  V1Deployment,
  V1EndpointSlice,
  V1Node,
  V1ReplicaSet,
  V1Service,
  V1ServiceAccount,
} from "@kubernetes/client-node";
import { type ApiObject, dig, digList, digString } from "../object.ts";
import { ageText } from "./age.ts";
import { podColumns } from "./pod-columns.ts";

export interface Column {
  readonly name: string;
  /** 1 shows in `-o wide` only. */
  readonly priority: number;
  readonly type: string;
  cell(object: ApiObject, nowMs: number): unknown;
}

export function column(name: string, cell: Column["cell"], priority = 0, type = "string"): Column {
  return { name, cell, priority, type };
}

const NONE = "<none>";
export const NAME = column("Name", (object) => object.metadata.name);
export const AGE = column("Age", (object, now) => ageText(object.metadata.creationTimestamp, now));

function pairs(map: unknown): string {
  return (
    Object.entries((map ?? {}) as Record<string, string>)
      .map(([key, value]) => `${key}=${value}`)
      .join(",") || NONE
  );
}

function count(object: ApiObject, ...fields: readonly string[]): number {
  return fields.reduce((sum, field) => sum + Object.keys((object[field] ?? {}) as object).length, 0);
}

const templateOf = (object: ApiObject): unknown => dig(object.spec, "template", "spec");
const containers =
  (field: string): Column["cell"] =>
  (object) =>
    digList(templateOf(object), "containers")
      .map((container) => digString(container, field) ?? "")
      .join(",");
const WIDE_WORKLOAD = [
  column("Containers", containers("name"), 1),
  column("Images", containers("image"), 1),
  column("Selector", (object) => pairs(dig(object.spec, "selector", "matchLabels")), 1),
];

function servicePorts(object: ApiObject): string {
  const { spec } = object as unknown as V1Service;
  return (
    (spec?.ports ?? [])
      .map((port) => `${port.port}${port.nodePort === undefined ? "" : `:${port.nodePort}`}/${port.protocol}`)
      .join(",") || NONE
  );
}

function externalAddress(object: ApiObject): string {
  const { spec, status } = object as unknown as V1Service;
  if (spec?.type === "ExternalName") return spec.externalName ?? "";
  const addresses = [
    ...(spec?.externalIPs ?? []),
    ...(status?.loadBalancer?.ingress ?? []).map((item) => item.ip ?? item.hostname ?? ""),
  ];
  if (addresses.length > 0) return addresses.join(",");
  return spec?.type === "LoadBalancer" ? "<pending>" : NONE;
}

function nodeStatus(object: ApiObject): string {
  const { spec, status } = object as unknown as V1Node;
  const ready = (status?.conditions ?? []).find((condition) => condition.type === "Ready")?.status === "True";
  return `${ready ? "Ready" : "NotReady"}${spec?.unschedulable === true ? ",SchedulingDisabled" : ""}`;
}

function nodeRoles(object: ApiObject): string {
  const prefix = "node-role.kubernetes.io/";
  return (
    Object.keys(object.metadata.labels ?? {})
      .filter((label) => label.startsWith(prefix))
      .map((label) => label.slice(prefix.length))
      .join(",") || NONE
  );
}

const nodeAddress = (object: ApiObject): string =>
  ((object as unknown as V1Node).status?.addresses ?? []).find((address) => address.type === "InternalIP")
    ?.address ?? NONE;
const nodeInfo =
  (field: string): Column["cell"] =>
  (object) =>
    digString(object.status, "nodeInfo", field) ?? "<unknown>";

function sliceEndpoints(object: ApiObject): string {
  const addresses = ((object as unknown as V1EndpointSlice).endpoints ?? []).flatMap(
    (endpoint) => endpoint.addresses,
  );
  if (addresses.length <= 3) return addresses.join(",") || "<unset>";
  return `${addresses.slice(0, 3).join(",")} + ${addresses.length - 3} more...`;
}

function slicePorts(object: ApiObject): string {
  return (
    ((object as unknown as V1EndpointSlice).ports ?? []).map((port) => String(port.port ?? "*")).join(",") ||
    "<unset>"
  );
}

function eventObject(object: ApiObject): string {
  const { involvedObject } = object as unknown as CoreV1Event;
  return `${involvedObject.kind?.toLowerCase() ?? ""}/${involvedObject.name ?? ""}`;
}

const deployment = (object: ApiObject): V1Deployment => object as unknown as V1Deployment;
const replicaSet = (object: ApiObject): V1ReplicaSet => object as unknown as V1ReplicaSet;
const daemonStatus = (object: ApiObject): Partial<NonNullable<V1DaemonSet["status"]>> =>
  (object as unknown as V1DaemonSet).status ?? {};

const CORE: Readonly<Record<string, readonly Column[]>> = {
  pods: podColumns,
  services: [
    NAME,
    column("Type", (object) => dig(object.spec, "type")),
    column("Cluster-IP", (object) => digString(object.spec, "clusterIP") ?? NONE),
    column("External-IP", externalAddress),
    column("Port(s)", servicePorts),
    AGE,
    column("Selector", (object) => pairs(dig(object.spec, "selector")), 1),
  ],
  namespaces: [NAME, column("Status", (object) => dig(object.status, "phase")), AGE],
  nodes: [
    NAME,
    column("Status", nodeStatus),
    column("Roles", nodeRoles),
    AGE,
    column("Version", nodeInfo("kubeletVersion")),
    column("Internal-IP", nodeAddress, 1),
    column("External-IP", () => NONE, 1),
    column("OS-Image", nodeInfo("osImage"), 1),
    column("Kernel-Version", nodeInfo("kernelVersion"), 1),
    column("Container-Runtime", nodeInfo("containerRuntimeVersion"), 1),
  ],
  configmaps: [NAME, column("Data", (object) => count(object, "data", "binaryData"), 0, "integer"), AGE],
  secrets: [
    NAME,
    column("Type", (object) => object["type"]),
    column("Data", (object) => count(object, "data"), 0, "integer"),
    AGE,
  ],
  serviceaccounts: [
    NAME,
    column(
      "Secrets",
      (object) => ((object as unknown as V1ServiceAccount).secrets ?? []).length,
      0,
      "integer",
    ),
    AGE,
  ],
  endpoints: [
    NAME,
    column(
      "Endpoints",
      (object) =>
        digList(object, "subsets")
          .flatMap((subset) => digList(subset, "addresses").map((address) => digString(address, "ip")))
          .join(",") || NONE,
    ),
    AGE,
  ],
  events: [
    column("Last Seen", (object, now) =>
      ageText(
        digString(object, "lastTimestamp") ??
          digString(object, "eventTime") ??
          digString(object, "firstTimestamp"),
        now,
      ),
    ),
    column("Type", (object) => object["type"]),
    column("Reason", (object) => object["reason"]),
    column("Object", eventObject),
    column("Message", (object) => (digString(object, "message") ?? "").trim()),
  ],
};

const OTHERS: Readonly<Record<string, readonly Column[]>> = {
  "deployments.apps": [
    NAME,
    column(
      "Ready",
      (object) =>
        `${deployment(object).status?.readyReplicas ?? 0}/${deployment(object).spec?.replicas ?? 0}`,
    ),
    column("Up-to-date", (object) => deployment(object).status?.updatedReplicas ?? 0, 0, "integer"),
    column("Available", (object) => deployment(object).status?.availableReplicas ?? 0, 0, "integer"),
    AGE,
    ...WIDE_WORKLOAD,
  ],
  "replicasets.apps": [
    NAME,
    column("Desired", (object) => replicaSet(object).spec?.replicas ?? 0, 0, "integer"),
    column("Current", (object) => replicaSet(object).status?.replicas ?? 0, 0, "integer"),
    column("Ready", (object) => replicaSet(object).status?.readyReplicas ?? 0, 0, "integer"),
    AGE,
    ...WIDE_WORKLOAD,
  ],
  "daemonsets.apps": [
    NAME,
    column("Desired", (object) => daemonStatus(object).desiredNumberScheduled ?? 0, 0, "integer"),
    column("Current", (object) => daemonStatus(object).currentNumberScheduled ?? 0, 0, "integer"),
    column("Ready", (object) => daemonStatus(object).numberReady ?? 0, 0, "integer"),
    column("Up-to-date", (object) => daemonStatus(object).updatedNumberScheduled ?? 0, 0, "integer"),
    column("Available", (object) => daemonStatus(object).numberAvailable ?? 0, 0, "integer"),
    column("Node Selector", (object) => pairs(dig(templateOf(object), "nodeSelector"))),
    AGE,
    ...WIDE_WORKLOAD,
  ],
  "endpointslices.discovery.k8s.io": [
    NAME,
    column("AddressType", (object) => object["addressType"]),
    column("Ports", slicePorts),
    column("Endpoints", sliceEndpoints),
    AGE,
  ],
  "leases.coordination.k8s.io": [
    NAME,
    column("Holder", (object) => digString(object.spec, "holderIdentity") ?? ""),
    AGE,
  ],
  "customresourcedefinitions.apiextensions.k8s.io": [
    NAME,
    column("Created At", (object) => object.metadata.creationTimestamp),
  ],
  "roles.rbac.authorization.k8s.io": [
    NAME,
    column("Created At", (object) => object.metadata.creationTimestamp),
  ],
  "clusterroles.rbac.authorization.k8s.io": [
    NAME,
    column("Created At", (object) => object.metadata.creationTimestamp),
  ],
  "rolebindings.rbac.authorization.k8s.io": [
    NAME,
    column(
      "Role",
      (object) => `${digString(object, "roleRef", "kind")}/${digString(object, "roleRef", "name")}`,
    ),
    AGE,
  ],
  "clusterrolebindings.rbac.authorization.k8s.io": [
    NAME,
    column(
      "Role",
      (object) => `${digString(object, "roleRef", "kind")}/${digString(object, "roleRef", "name")}`,
    ),
    AGE,
  ],
};

export function builtinColumns(id: string): readonly Column[] {
  return CORE[id] ?? OTHERS[id] ?? [NAME, AGE];
}
