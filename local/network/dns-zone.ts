/**
 * Pure. The records of the cluster domain: what `<service>.<namespace>.svc.cluster.local` and its children answer
 * (Kubernetes DNS specification 1.1.0). Looked up on demand from indexes, so that a large cluster costs nothing up front.
 */
import type { Answer } from "dns-packet";
import { CLUSTER_DOMAIN } from "./addresses.ts";
import {
  addressesOf,
  type EndpointSliceObject,
  type ServiceObject,
  type ServicePortObject,
  sliceKey,
  usableEndpoints,
} from "./service-ports.ts";

export const DNS_TTL_SECONDS = 5;

/** `exists` without records is NODATA: the name is there, the type is not. */
export type ZoneAnswer =
  | { readonly kind: "exists"; readonly records: readonly Answer[] }
  | { readonly kind: "absent" }
  | { readonly kind: "not-ours" };

export interface Zone {
  lookUp(name: string, type: string): ZoneAnswer;
}

type Indexed = Readonly<{ service: ServiceObject; slices: readonly EndpointSliceObject[] }>;

export function buildZone(services: readonly ServiceObject[], slices: readonly EndpointSliceObject[]): Zone {
  const bySlice = Map.groupBy(slices, sliceKey);
  const namespaces = new Set(services.map((s) => s.metadata.namespace ?? ""));
  const index = new Map<string, Indexed>();
  for (const service of services) {
    const key = `${service.metadata.namespace ?? ""}/${service.metadata.name}`;
    index.set(key, { service, slices: bySlice.get(key) ?? [] });
  }
  return {
    lookUp: (name, type) => {
      const lower = name.toLowerCase().replace(/\.$/, "");
      const labels = lower.split(".");
      if (lower !== CLUSTER_DOMAIN && !lower.endsWith(`.${CLUSTER_DOMAIN}`)) return { kind: "not-ours" };
      const rest = labels.slice(0, labels.length - 2);
      if (rest.length === 0 || (rest.length === 1 && rest[0] === "svc"))
        return { kind: "exists", records: [] };
      if (rest.at(-1) !== "svc") return { kind: "absent" };
      const [namespace = "", serviceName, ...deeper] = rest.slice(0, -1).toReversed();
      if (serviceName === undefined)
        return namespaces.has(namespace) ? { kind: "exists", records: [] } : { kind: "absent" };
      const found = index.get(`${namespace}/${serviceName}`);
      if (found === undefined) return { kind: "absent" };
      return answerService(found, { name: lower, type, deeper: deeper.toReversed() });
    },
  };
}

interface Question {
  readonly name: string;
  readonly type: string;
  /** Labels in front of the service name, in the order of the name. */
  readonly deeper: readonly string[];
}

function answerService(found: Indexed, question: Question): ZoneAnswer {
  const [first, second] = question.deeper;
  if (first === undefined) return { kind: "exists", records: serviceRecords(found, question) };
  if (question.deeper.length === 2 && first.startsWith("_") && second?.startsWith("_") === true) {
    return serviceLocation(found, question, { name: first.slice(1), protocol: second.slice(1) });
  }
  if (question.deeper.length !== 1) return { kind: "absent" };
  const addresses = endpointsOf(found)
    .filter((e) => e.host === first)
    .map((e) => e.address);
  return addresses.length === 0
    ? { kind: "absent" }
    : { kind: "exists", records: addressRecords(question.name, question.type, addresses) };
}

function serviceRecords({ service, slices }: Indexed, { name, type }: Question): readonly Answer[] {
  const external = service.spec?.externalName;
  if (service.spec?.type === "ExternalName" && external !== undefined) {
    return [{ type: "CNAME", name, ttl: DNS_TTL_SECONDS, data: external }];
  }
  const own = addressesOf(service);
  const addresses = own.length > 0 ? own : endpointsOf({ service, slices }).map((e) => e.address);
  return addressRecords(name, type, addresses);
}

function addressRecords(name: string, type: string, addresses: readonly string[]): readonly Answer[] {
  if (type !== "A" && type !== "AAAA") return [];
  return [...new Set(addresses)]
    .filter((address) => address.includes(":") === (type === "AAAA"))
    .map((data) => ({ type, name, ttl: DNS_TTL_SECONDS, data }));
}

function serviceLocation(
  found: Indexed,
  question: Question,
  wanted: { name: string; protocol: string },
): ZoneAnswer {
  const port = found.service.spec?.ports?.find(
    (p) => p.name === wanted.name && (p.protocol ?? "TCP").toLowerCase() === wanted.protocol,
  );
  if (port === undefined) return { kind: "absent" };
  if (question.type !== "SRV") return { kind: "exists", records: [] };
  const base = `${found.service.metadata.name}.${found.service.metadata.namespace ?? ""}.svc.${CLUSTER_DOMAIN}`;
  const targets =
    addressesOf(found.service).length > 0
      ? [{ target: base, port: port.port }]
      : headlessTargets(found, base, port);
  return {
    kind: "exists",
    records: targets.map(({ target, port: number }) => ({
      type: "SRV",
      name: question.name,
      ttl: DNS_TTL_SECONDS,
      data: { priority: 0, weight: 100, port: number, target },
    })),
  };
}

function headlessTargets(
  { service, slices }: Indexed,
  base: string,
  port: ServicePortObject,
): readonly { target: string; port: number }[] {
  const targets = slices.flatMap((slice) => {
    const number = slice.ports?.find((p) => (p.name ?? "") === (port.name ?? ""))?.port ?? port.port;
    return endpointsOf({ service, slices: [slice] }).map((e) => ({
      target: `${e.host}.${base}`,
      port: number,
    }));
  });
  return [...new Map(targets.map((t) => [t.target, t])).values()];
}

/** Endpoints with the host label of their own name: the pod's hostname, or its address with dashes. */
function endpointsOf({
  service,
  slices,
}: Indexed): readonly { readonly host: string; readonly address: string }[] {
  const publishAll = service.spec?.publishNotReadyAddresses === true;
  const endpoints = publishAll
    ? slices.flatMap((s) => s.endpoints ?? [])
    : slices.flatMap((s) => usableEndpoints([s]));
  return endpoints.flatMap((e) =>
    e.addresses.map((address) => ({ address, host: e.hostname ?? address.replace(/[.:]/g, "-") })),
  );
}
