/** Pure. Plain JSON of the Kubernetes API to the trimmed objects of `object-types.ts`. Never throws. */
import { jsonList, jsonNumber, jsonObject, jsonText, jsonTextRecord, jsonTimeMs } from "./json-read.ts";
import type {
  ConfigMapObject,
  CustomObject,
  EndpointSliceObject,
  KubeObject,
  NamespaceObject,
  NodeObject,
  ObjectMeta,
  OwnedObject,
  PodObject,
  PodPhase,
  SecretObject,
  ServiceObject,
  SliceEndpoint,
} from "./object-types.ts";

const KEPT_ANNOTATION = /(^|[./])(istio\.io|ambit\.io)\/|^kubernetes\.io\/config\.mirror$/;
const PHASES: ReadonlySet<string> = new Set(["Pending", "Running", "Succeeded", "Failed"]);
const LOOPBACK_HOST = /^(localhost|127\.[0-9.]+|::1|\[::1\])$/;

export function projectMeta(raw: unknown): ObjectMeta {
  const meta = jsonObject(jsonObject(raw)["metadata"]);
  const annotations = jsonTextRecord(meta["annotations"]);
  return {
    name: jsonText(meta["name"]),
    namespace: jsonText(meta["namespace"]),
    uid: jsonText(meta["uid"]),
    resourceVersion: jsonText(meta["resourceVersion"]),
    generation: jsonNumber(meta["generation"]) ?? 0,
    creationMs: jsonTimeMs(meta["creationTimestamp"]) ?? 0,
    deletionMs: jsonTimeMs(meta["deletionTimestamp"]),
    labels: jsonTextRecord(meta["labels"]),
    annotations: Object.fromEntries(Object.entries(annotations).filter(([key]) => KEPT_ANNOTATION.test(key))),
  };
}

export function projectBare(raw: unknown): KubeObject {
  return { metadata: projectMeta(raw) };
}

export function projectOwned(raw: unknown): OwnedObject {
  return { metadata: projectMeta(raw), owner: controllingOwner(raw) };
}

export function projectNamespace(raw: unknown): NamespaceObject {
  const phase = jsonObject(jsonObject(raw)["status"])["phase"];
  return { metadata: projectMeta(raw), terminating: phase === "Terminating" };
}

export function projectNode(raw: unknown): NodeObject {
  const spec = jsonObject(jsonObject(raw)["spec"]);
  const addresses = jsonList(jsonObject(jsonObject(raw)["status"])["addresses"]).map(jsonObject);
  const listed = jsonList(spec["podCIDRs"]).map(jsonText);
  return {
    metadata: projectMeta(raw),
    podCidrs: (listed.length > 0 ? listed : [jsonText(spec["podCIDR"])]).filter((text) => text !== ""),
    addresses: addresses
      .filter((a) => a["type"] === "InternalIP" || a["type"] === "ExternalIP")
      .map((a) => jsonText(a["address"])),
  };
}

export function projectPod(raw: unknown): PodObject {
  const spec = jsonObject(jsonObject(raw)["spec"]);
  const status = jsonObject(jsonObject(raw)["status"]);
  const sidecars = jsonList(spec["initContainers"])
    .map(jsonObject)
    .filter((c) => c["restartPolicy"] === "Always");
  const containers = [...jsonList(spec["containers"]).map(jsonObject), ...sidecars];
  const ips = jsonList(status["podIPs"]).map((entry) => jsonText(jsonObject(entry)["ip"]));
  const phase = jsonText(status["phase"]);
  return {
    metadata: projectMeta(raw),
    owner: controllingOwner(raw),
    serviceAccount: jsonText(spec["serviceAccountName"]),
    node: jsonText(spec["nodeName"]),
    hostNetwork: spec["hostNetwork"] === true,
    ips: (ips.length > 0 ? ips : [jsonText(status["podIP"])]).filter((text) => text !== ""),
    ports: containers.flatMap((container) => containerPorts(container["ports"])),
    ready: jsonList(status["conditions"])
      .map(jsonObject)
      .some((c) => c["type"] === "Ready" && c["status"] === "True"),
    phase: PHASES.has(phase) ? (phase as PodPhase) : "Unknown",
    foreignProbeHosts: foreignProbeHosts([
      ...containers,
      ...jsonList(spec["initContainers"]).map(jsonObject),
      ...jsonList(spec["ephemeralContainers"]).map(jsonObject),
    ]),
  };
}

export function projectService(raw: unknown): ServiceObject {
  const spec = jsonObject(jsonObject(raw)["spec"]);
  const listed = jsonList(spec["clusterIPs"]).map(jsonText);
  return {
    metadata: projectMeta(raw),
    type: jsonText(spec["type"]),
    selector: jsonTextRecord(spec["selector"]),
    clusterIps: (listed.length > 0 ? listed : [jsonText(spec["clusterIP"])]).filter(
      (text) => text !== "" && text !== "None",
    ),
    ipFamilies: jsonList(spec["ipFamilies"]).map(jsonText),
    ports: jsonList(spec["ports"]).map(jsonObject).map(servicePort),
    internalTrafficPolicy: jsonText(spec["internalTrafficPolicy"]),
    trafficDistribution: jsonText(spec["trafficDistribution"]),
    publishNotReadyAddresses: spec["publishNotReadyAddresses"] === true,
    conditions: jsonList(jsonObject(jsonObject(raw)["status"])["conditions"]),
  };
}

export function projectEndpointSlice(raw: unknown): EndpointSliceObject {
  const object = jsonObject(raw);
  const metadata = projectMeta(raw);
  return {
    metadata,
    service: metadata.labels["kubernetes.io/service-name"] ?? "",
    addressType: jsonText(object["addressType"]),
    ports: jsonList(object["ports"])
      .map(jsonObject)
      .map((p) => ({
        name: jsonText(p["name"]),
        port: jsonNumber(p["port"]) ?? 0,
        protocol: jsonText(p["protocol"]) || "TCP",
      })),
    endpoints: jsonList(object["endpoints"]).map(jsonObject).map(sliceEndpoint),
  };
}

export function projectCustom(raw: unknown): CustomObject {
  const object = jsonObject(raw);
  return {
    metadata: projectMeta(raw),
    spec: object["spec"],
    conditions: jsonList(jsonObject(object["status"])["conditions"]),
  };
}

export function projectConfigMap(raw: unknown): ConfigMapObject {
  return { metadata: projectMeta(raw), data: jsonTextRecord(jsonObject(raw)["data"]) };
}

export function projectSecret(raw: unknown): SecretObject {
  const { type, data } = jsonObject(raw);
  return { metadata: projectMeta(raw), type: jsonText(type), data: jsonTextRecord(data) };
}

function controllingOwner(raw: unknown): OwnedObject["owner"] {
  const owners = jsonList(jsonObject(jsonObject(raw)["metadata"])["ownerReferences"]).map(jsonObject);
  const owner = owners.find((o) => o["controller"] === true);
  return owner === undefined
    ? undefined
    : { kind: jsonText(owner["kind"]), name: jsonText(owner["name"]), uid: jsonText(owner["uid"]) };
}

function containerPorts(raw: unknown): PodObject["ports"] {
  return jsonList(raw)
    .map(jsonObject)
    .filter((p) => (jsonText(p["protocol"]) || "TCP") === "TCP")
    .map((p) => ({ name: jsonText(p["name"]), port: jsonNumber(p["containerPort"]) ?? 0 }));
}

/** Whoever may create a pod could point kubelet's requests, which are exempt from policy, at another pod. */
function foreignProbeHosts(containers: readonly Readonly<Record<string, unknown>>[]): readonly string[] {
  const handlers = containers.flatMap((container) => {
    const lifecycle = jsonObject(container["lifecycle"]);
    return [
      container["livenessProbe"],
      container["readinessProbe"],
      container["startupProbe"],
      lifecycle["postStart"],
      lifecycle["preStop"],
    ];
  });
  const hosts = handlers
    .map(jsonObject)
    .flatMap((h) => [
      jsonText(jsonObject(h["httpGet"])["host"]),
      jsonText(jsonObject(h["tcpSocket"])["host"]),
    ]);
  return hosts.filter((host) => host !== "" && !LOOPBACK_HOST.test(host));
}

function servicePort(port: Readonly<Record<string, unknown>>): ServiceObject["ports"][number] {
  const target = port["targetPort"];
  return {
    name: jsonText(port["name"]),
    port: jsonNumber(port["port"]) ?? 0,
    targetPort: typeof target === "string" ? target : (jsonNumber(target) ?? jsonNumber(port["port"]) ?? 0),
    protocol: jsonText(port["protocol"]) || "TCP",
    appProtocol: jsonText(port["appProtocol"]),
  };
}

function sliceEndpoint(endpoint: Readonly<Record<string, unknown>>): SliceEndpoint {
  const target = jsonObject(endpoint["targetRef"]);
  return {
    addresses: jsonList(endpoint["addresses"]).map(jsonText),
    // "Consumers should interpret an unset ready as true" (discovery/v1 EndpointConditions).
    ready: jsonObject(endpoint["conditions"])["ready"] !== false,
    node: jsonText(endpoint["nodeName"]),
    zone: jsonText(endpoint["zone"]),
    target: target["kind"] === undefined ? "" : `${jsonText(target["kind"])}/${jsonText(target["name"])}`,
  };
}
