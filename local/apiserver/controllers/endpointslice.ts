/** EndpointSlices of Services with a selector: one per address family and set of target ports. */
import type { V1Pod, V1Service, V1ServicePort } from "@kubernetes/client-node";
import { type ApiObject, deepEqual, type JsonMap } from "../object.ts";
import type { RestDeps } from "../rest/context.ts";
import { ControllerClient, controllerOf, objectKey, ownerReference, shortHash } from "./controller-client.ts";

const SLICES = "endpointslices.discovery.k8s.io";
const MANAGER = "endpointslice-controller.k8s.io";
const MANAGED_BY = "endpointslice.kubernetes.io/managed-by";
const SERVICE_NAME = "kubernetes.io/service-name";

export interface WantedSlice {
  readonly addressType: "IPv4" | "IPv6";
  readonly ports: readonly JsonMap[];
  readonly endpoints: readonly JsonMap[];
}

export function startEndpointSliceController(deps: RestDeps): ControllerClient {
  const client = new ControllerClient(deps, "endpointslice-controller");
  const queue = client.queue((key) => reconcile(client, key));
  client.watch("services", (event) => queue.add(event.key));
  client.watch("nodes", (event) => {
    if (event.type !== "MODIFIED")
      for (const service of client.list("services")) queue.add(objectKey(service));
  });
  client.watch("pods", ({ current, previous }) => {
    if (previous !== undefined && deepEqual(relevantPart(current.object), relevantPart(previous.object)))
      return;
    for (const service of client.list("services", current.object.metadata.namespace)) {
      if (selects(service, current.object) || (previous !== undefined && selects(service, previous.object)))
        queue.add(objectKey(service));
    }
  });
  client.watch(SLICES, ({ type, current }) => {
    const { labels = {}, namespace = "" } = current.object.metadata;
    if (type === "DELETED" && labels[MANAGED_BY] === MANAGER)
      queue.add(`${namespace}/${labels[SERVICE_NAME]}`);
  });
  return client;
}

function relevantPart(pod: ApiObject): unknown {
  const { status, spec } = pod as unknown as V1Pod;
  const { labels, deletionTimestamp } = pod.metadata;
  return [
    labels,
    deletionTimestamp,
    spec?.nodeName,
    status?.phase,
    status?.podIPs,
    status?.conditions?.map(({ type, status: value }) => [type, value]),
  ];
}

function selects(service: ApiObject, pod: ApiObject): boolean {
  const selector = (service as unknown as V1Service).spec?.selector;
  return (
    selector !== undefined &&
    Object.entries(selector).every(([key, value]) => pod.metadata.labels?.[key] === value)
  );
}

async function reconcile(client: ControllerClient, key: string): Promise<void> {
  const [namespace = "", name = ""] = key.split("/");
  const service = client.get("services", namespace, name);
  const existing = client
    .list(SLICES, namespace)
    .filter(
      ({ metadata }) => metadata.labels?.[SERVICE_NAME] === name && metadata.labels[MANAGED_BY] === MANAGER,
    );
  const spec = (service as unknown as V1Service | undefined)?.spec;
  if (
    service === undefined ||
    spec?.selector === undefined ||
    service.metadata.deletionTimestamp !== undefined
  ) {
    for (const slice of existing) await client.delete(SLICES, slice);
    return;
  }
  const pods = client.list("pods", namespace).filter((pod) => selects(service, pod) && isListed(client, pod));
  const kept = new Set<string>();
  for (const wanted of wantedSlices(service, pods)) {
    const sliceName = `${name}-${shortHash([wanted.addressType, wanted.ports])}`;
    kept.add(sliceName);
    await write(client, service, sliceName, wanted);
  }
  for (const slice of existing) if (!kept.has(slice.metadata.name)) await client.delete(SLICES, slice);
}

/** Has an address, runs, and its node exists. */
function isListed(client: ControllerClient, pod: ApiObject): boolean {
  const { status, spec } = pod as unknown as V1Pod;
  if ((status?.podIP ?? "") === "" || status?.phase === "Succeeded" || status?.phase === "Failed")
    return false;
  return client.get("nodes", "", spec?.nodeName ?? "") !== undefined;
}

/** Pure. Pods whose named ports differ go into different slices; a service without pods has one empty slice per family. */
export function wantedSlices(service: ApiObject, pods: readonly ApiObject[]): WantedSlice[] {
  const { spec } = service as unknown as V1Service;
  const families = (spec?.ipFamilies?.length ?? 0) > 0 ? (spec?.ipFamilies ?? []) : ["IPv4"];
  const sorted = pods.toSorted((a, b) => (a.metadata.name < b.metadata.name ? -1 : 1));
  return families.flatMap((family) => {
    const addressType = family === "IPv6" ? "IPv6" : "IPv4";
    const reachable = sorted.filter((pod) => addressOf(pod, addressType) !== undefined);
    const groups = Map.groupBy(reachable, (pod) =>
      JSON.stringify(portsFor(spec?.ports ?? [], pod as unknown as V1Pod)),
    );
    if (groups.size === 0) return [{ addressType, ports: [], endpoints: [] } as WantedSlice];
    return [...groups].map(([ports, members]): WantedSlice => ({
      addressType,
      ports: JSON.parse(ports) as JsonMap[],
      endpoints: members.map((pod) => endpointOf(pod, addressType, spec?.publishNotReadyAddresses === true)),
    }));
  });
}

function addressOf(pod: ApiObject, family: "IPv4" | "IPv6"): string | undefined {
  const { status } = pod as unknown as V1Pod;
  const addresses = status?.podIPs?.map((entry) => entry.ip) ?? [status?.podIP ?? ""];
  return addresses.find(
    (address) => address !== undefined && address !== "" && address.includes(":") === (family === "IPv6"),
  );
}

function portsFor(ports: readonly V1ServicePort[], pod: V1Pod | undefined): JsonMap[] {
  const named = (name: string): number | undefined =>
    pod?.spec?.containers.flatMap((container) => container.ports ?? []).find((port) => port.name === name)
      ?.containerPort;
  return ports.flatMap(({ name = "", targetPort, port, protocol = "TCP", appProtocol }) => {
    const number = typeof targetPort === "string" ? named(targetPort) : (targetPort ?? port);
    if (number === undefined) return [];
    return [{ name, port: number, protocol, ...(appProtocol === undefined ? {} : { appProtocol }) }];
  });
}

function endpointOf(pod: ApiObject, family: "IPv4" | "IPv6", publishNotReady: boolean): JsonMap {
  const { status, spec } = pod as unknown as V1Pod;
  const serving =
    publishNotReady || status?.conditions?.find((condition) => condition.type === "Ready")?.status === "True";
  const terminating = pod.metadata.deletionTimestamp !== undefined;
  const { name, namespace, uid } = pod.metadata;
  return {
    addresses: [addressOf(pod, family)],
    conditions: { ready: serving && (!terminating || publishNotReady), serving, terminating },
    ...(spec?.hostname === undefined ? {} : { hostname: spec.hostname }),
    nodeName: spec?.nodeName,
    targetRef: { kind: "Pod", namespace, name, uid },
  };
}

async function write(
  client: ControllerClient,
  service: ApiObject,
  name: string,
  wanted: WantedSlice,
): Promise<void> {
  const { namespace = "", labels: own = {} } = service.metadata;
  const headless =
    (service as unknown as V1Service).spec?.clusterIP === "None"
      ? { "service.kubernetes.io/headless": "" }
      : {};
  const labels = { ...own, ...headless, [SERVICE_NAME]: service.metadata.name, [MANAGED_BY]: MANAGER };
  const { addressType, ports, endpoints } = wanted;
  const live = client.get(SLICES, namespace, name);
  if (live === undefined || controllerOf(live)?.uid !== service.metadata.uid) {
    if (live !== undefined) await client.delete(SLICES, live);
    await client.create(SLICES, namespace, {
      metadata: { name, labels, ownerReferences: [ownerReference(service)] },
      addressType,
      ports,
      endpoints,
    });
  } else {
    await client.update(SLICES, live, (current) => ({
      ...current,
      metadata: { ...current.metadata, labels },
      addressType,
      ports,
      endpoints,
    }));
  }
}
