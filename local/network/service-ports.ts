/** Pure. Services and EndpointSlices as the API gives them, reduced to "this address and port goes to these endpoints". */
import { parseIp } from "#core/net/ip.ts";

export interface ObjectMeta {
  readonly name: string;
  readonly namespace?: string;
  readonly uid?: string;
  readonly resourceVersion?: string;
  readonly labels?: Readonly<Record<string, string>>;
  readonly annotations?: Readonly<Record<string, string>>;
  readonly deletionTimestamp?: string;
  readonly deletionGracePeriodSeconds?: number;
}

export interface ServiceObject {
  readonly metadata: ObjectMeta;
  readonly spec?: {
    readonly type?: string;
    readonly clusterIP?: string;
    readonly clusterIPs?: readonly string[];
    readonly externalName?: string;
    readonly publishNotReadyAddresses?: boolean;
    readonly sessionAffinity?: string;
    readonly ports?: readonly ServicePortObject[];
  };
}

export interface ServicePortObject {
  readonly name?: string;
  readonly port: number;
  readonly protocol?: string;
}

export interface EndpointSliceObject {
  readonly metadata: ObjectMeta;
  readonly addressType?: string;
  readonly endpoints?: readonly EndpointObject[];
  readonly ports?: readonly { readonly name?: string; readonly port?: number; readonly protocol?: string }[];
}

export interface EndpointObject {
  readonly addresses: readonly string[];
  readonly hostname?: string;
  readonly conditions?: {
    readonly ready?: boolean;
    readonly serving?: boolean;
    readonly terminating?: boolean;
  };
}

export interface Backend {
  readonly ip: string;
  readonly port: number;
}

export interface VirtualPort {
  readonly vip: string;
  readonly protocol: "tcp" | "udp";
  readonly port: number;
  readonly backends: readonly Backend[];
  readonly affinity: boolean;
}

const SERVICE_NAME_LABEL = "kubernetes.io/service-name";

export function sliceKey(slice: EndpointSliceObject): string {
  return `${slice.metadata.namespace ?? ""}/${slice.metadata.labels?.[SERVICE_NAME_LABEL] ?? ""}`;
}

/** Ready endpoints; if there is none, those that still serve while terminating, as kube-proxy does. */
export function usableEndpoints(slices: readonly EndpointSliceObject[]): readonly EndpointObject[] {
  const all = slices.flatMap((slice) => slice.endpoints ?? []);
  const ready = all.filter((endpoint) => endpoint.conditions?.ready !== false);
  return ready.length > 0
    ? ready
    : all.filter((e) => e.conditions?.serving === true && e.conditions.terminating === true);
}

/** One entry per address, protocol and port; entries of `local` addresses are left out (somebody serves them on this node). */
export function virtualPorts(
  services: readonly ServiceObject[],
  slices: readonly EndpointSliceObject[],
  local: ReadonlySet<string>,
): readonly VirtualPort[] {
  const bySlice = Map.groupBy(slices, sliceKey);
  return services.flatMap((service) => {
    const own = bySlice.get(`${service.metadata.namespace ?? ""}/${service.metadata.name}`) ?? [];
    const vips = addressesOf(service).filter((vip) => !local.has(vip));
    return vips.flatMap((vip) =>
      (service.spec?.ports ?? []).flatMap((port) => toVirtualPort(service, vip, port, own)),
    );
  });
}

/** Canonical cluster addresses; empty for headless and ExternalName services. Junk is left out. */
export function addressesOf(service: ServiceObject): readonly string[] {
  const { clusterIP, clusterIPs, type } = service.spec ?? {};
  if (type === "ExternalName" || clusterIP === "None") return [];
  const texts = clusterIPs ?? (clusterIP === undefined || clusterIP === "" ? [] : [clusterIP]);
  return texts.flatMap((text) => {
    const address = parseIp(text);
    return address.ok ? [address.value] : [];
  });
}

function toVirtualPort(
  service: ServiceObject,
  vip: string,
  port: ServicePortObject,
  slices: readonly EndpointSliceObject[],
): readonly VirtualPort[] {
  const protocol = (port.protocol ?? "TCP").toLowerCase();
  if (protocol !== "tcp" && protocol !== "udp") return [];
  const family = vip.includes(":") ? "IPv6" : "IPv4";
  const backends = slices
    .filter((slice) => (slice.addressType ?? "IPv4") === family)
    .flatMap((slice) => backendsOf(slice, port, protocol));
  return [
    { vip, protocol, port: port.port, backends, affinity: service.spec?.sessionAffinity === "ClientIP" },
  ];
}

function backendsOf(
  slice: EndpointSliceObject,
  port: ServicePortObject,
  protocol: string,
): readonly Backend[] {
  const target = slice.ports?.find(
    (p) => (p.name ?? "") === (port.name ?? "") && (p.protocol ?? "TCP").toLowerCase() === protocol,
  );
  const number = target?.port;
  if (number === undefined) return [];
  return usableEndpoints([slice]).flatMap((endpoint) =>
    endpoint.addresses.flatMap((text) => {
      const address = parseIp(text);
      return address.ok ? [{ ip: address.value, port: number }] : [];
    }),
  );
}
