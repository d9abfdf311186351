/** fast-check generators of the model: small alphabets, so that names and addresses collide and policies hit. */
import fc from "fast-check";
import type { GatewayAddress, NetworkAddress, NetworkCidr } from "../model/address.ts";
import type { Authorization, AuthorizationMatch, MatchList, StringMatch } from "../model/authorization.ts";
import type { ConnectionFacts } from "../model/connection.ts";
import type { PolicyKey, ServiceKey, WorkloadUid } from "../model/ids.ts";
import type { LoadBalancing, Service } from "../model/service.ts";
import { type SpiffeId, spiffeId } from "../model/spiffe-id.ts";
import type { ApplicationTunnel, Workload } from "../model/workload.ts";
import { type Cidr, cidr } from "../net/cidr.ts";
import { formatIp, type IpAddress } from "../net/ip.ts";
import { type JsonObject, type JsonValue } from "../wire/json-value.ts";

/** Ordinary objects only: fast-check also makes some without a prototype. */
export function record<T extends object>(fields: { [K in keyof T]: fc.Arbitrary<T[K]> }): fc.Arbitrary<T> {
  return fc.record<T>(fields, { noNullPrototype: true } as never) as fc.Arbitrary<T>;
}

const name: fc.Arbitrary<string> = fc.constantFrom("a", "b", "web", "db-1", "x".repeat(70), "zürich");
const text: fc.Arbitrary<string> = fc.oneof(fc.constant(""), name);
export const arbitraryPort: fc.Arbitrary<number> = fc.constantFrom(0, 1, 80, 8080, 443, 65_535);

export const arbitraryIp: fc.Arbitrary<IpAddress> = fc.oneof(
  fc.constantFrom(0, 1, 5, 255).map((last) => formatIp(Uint8Array.of(10, 0, 0, last))),
  fc.uint8Array({ minLength: 4, maxLength: 4 }).map(formatIp),
  fc.uint8Array({ minLength: 16, maxLength: 16 }).map(formatIp),
);

export const arbitraryCidr: fc.Arbitrary<Cidr> = fc
  .tuple(arbitraryIp, fc.nat(128))
  .map(([address, length]) => cidr(address, Math.min(length, address.includes(":") ? 128 : 32)));

export const arbitraryIdentity: fc.Arbitrary<SpiffeId> = fc
  .record({
    trustDomain: fc.constantFrom("cluster.local", "td2"),
    namespace: fc.constantFrom("a", "b", "web"),
    serviceAccount: fc.constantFrom("a", "b", "default"),
  })
  .map(spiffeId);

const networkAddress: fc.Arbitrary<NetworkAddress> = record({ network: text, ip: arbitraryIp });
const gateway: fc.Arbitrary<GatewayAddress> = record({
  destination: fc.oneof(
    record({
      kind: fc.constant("hostname" as const),
      name: record({ namespace: text, hostname: text }),
    }),
    record({ kind: fc.constant("address" as const), address: networkAddress }),
  ),
  hboneMtlsPort: arbitraryPort,
});
const maybe = <T>(some: fc.Arbitrary<T>): fc.Arbitrary<T | undefined> =>
  fc.option(some, { nil: undefined, freq: 2 });

const applicationTunnel: fc.Arbitrary<ApplicationTunnel> = record({
  protocol: fc.constantFrom("none", "proxy"),
  port: arbitraryPort,
});
const servicePorts = fc
  .array(fc.tuple(arbitraryPort, arbitraryPort), { maxLength: 3 })
  .map((pairs) => new Map(pairs));
const services = fc
  .array(
    fc.tuple(
      fc.tuple(name, name).map(([ns, host]) => `${ns}/${host}` as ServiceKey),
      servicePorts,
    ),
    { maxLength: 3 },
  )
  .map((pairs) => new Map(pairs));
const policyKeys = fc
  .array(
    fc.tuple(name, name).map(([ns, policy]) => `${ns}/${policy}` as PolicyKey),
    { maxLength: 3 },
  )
  .map((keys) => keys.toSorted());

/** In canonical form: what a decoder can give. */
export const arbitraryWorkload: fc.Arbitrary<Workload> = record({
  uid: name.map((n) => `Kubernetes//Pod/default/${n}` as WorkloadUid),
  name: text,
  namespace: text,
  addresses: fc.array(arbitraryIp, { maxLength: 3 }),
  network: text,
  tunnelProtocol: fc.constantFrom("none", "hbone"),
  trustDomain: fc.constantFrom("cluster.local", "td2"),
  serviceAccount: text,
  waypoint: maybe(gateway),
  networkGateway: maybe(gateway),
  node: text,
  canonicalName: text,
  canonicalRevision: text,
  workloadType: fc.constantFrom("deployment", "cronjob", "pod", "job"),
  workloadName: text,
  nativeTunnel: fc.boolean(),
  authorizationPolicies: policyKeys,
  status: fc.constantFrom("healthy", "unhealthy"),
  clusterId: fc.constantFrom("Kubernetes", "c2"),
  hostname: text,
  services,
  applicationTunnel: maybe(applicationTunnel),
  locality: record({ region: text, zone: text, subzone: text }),
  networkMode: fc.constantFrom("standard", "host-network"),
  excludedPorts: fc
    .uniqueArray(fc.constantFrom(1, 80, 5_432, 65_535))
    .map((ports) => ports.toSorted((a, b) => a - b)),
  capacity: fc.constantFrom(0, 1, 2, 4_294_967_295),
});

const loadBalancing: fc.Arbitrary<LoadBalancing> = record({
  mode: fc.constantFrom("standard", "strict", "failover", "passthrough"),
  routingPreferences: fc.array(fc.constantFrom("region", "zone", "subzone", "node", "cluster", "network"), {
    maxLength: 4,
  }),
  healthPolicy: fc.constantFrom("only-healthy", "allow-all"),
});
const cidrVip: fc.Arbitrary<NetworkCidr> = record({
  network: text,
  cidr: arbitraryCidr.map((block) => cidr(block.address, Math.min(block.prefixLength, 31))),
});

/** In canonical form: what a decoder can give. */
export const arbitraryService: fc.Arbitrary<Service> = record({
  name: text,
  namespace: text,
  hostname: name,
  vips: fc.array(networkAddress, { maxLength: 3 }),
  cidrVips: fc.array(cidrVip, { maxLength: 2 }),
  ports: fc.array(
    record({
      servicePort: arbitraryPort,
      targetPort: arbitraryPort,
      appProtocol: fc.constantFrom("unknown", "http11", "http2", "grpc", "tcp", "tls"),
    }),
    { maxLength: 3 },
  ),
  subjectAltNames: fc.array(arbitraryIdentity, { maxLength: 3 }).map((ids) => ids.toSorted()),
  waypoint: maybe(gateway),
  weightedWaypoints: fc.array(record({ destination: gateway, weight: fc.nat(100) }), { maxLength: 2 }),
  loadBalancing: maybe(loadBalancing),
  ipFamilies: fc.constantFrom("automatic", "ipv4", "ipv6", "dual"),
  canonical: fc.boolean(),
  ingressUseWaypoint: fc.boolean(),
  visibility: fc.constantFrom("public", "namespace"),
});

export const namespaceMatch: fc.Arbitrary<StringMatch> = fc.oneof(
  record({
    kind: fc.constantFrom("exact" as const, "prefix" as const, "suffix" as const),
    value: fc.constantFrom("", "a", "b", "web", "we", "eb"),
  }),
  fc.constant({ kind: "presence" as const }),
);
export const principalMatch: fc.Arbitrary<StringMatch> = fc.oneof(
  record({
    kind: fc.constantFrom("exact" as const, "prefix" as const, "suffix" as const),
    value: fc.oneof(
      arbitraryIdentity.map((id) => id.slice("spiffe://".length)),
      fc.constantFrom("", "cluster.local/ns/a/", "td2", "/sa/default", "/sa/a"),
    ),
  }),
  fc.constant({ kind: "presence" as const }),
);

export function matchList<T>(item: fc.Arbitrary<T>): fc.Arbitrary<MatchList<T>> {
  const list = fc.array(item, { maxLength: 2 });
  const nothing = fc.constant({ any: [], none: [] });
  return fc.oneof({ arbitrary: nothing, weight: 2 }, record({ any: list, none: list }));
}

const arbitraryMatch: fc.Arbitrary<AuthorizationMatch> = record({
  namespaces: matchList(namespaceMatch),
  principals: matchList(principalMatch),
  serviceAccounts: matchList(
    record({
      namespace: fc.constantFrom("a", "b", "web"),
      serviceAccount: fc.constantFrom("a", "b", "default"),
    }),
  ),
  sourceIps: matchList(arbitraryCidr),
  destinationIps: matchList(arbitraryCidr),
  destinationPorts: matchList(arbitraryPort),
});

export const arbitraryAuthorization: fc.Arbitrary<Authorization> = record({
  name: fc.constantFrom("p1", "p2", "p3"),
  namespace: fc.constantFrom("a", "b", "istio-system"),
  scope: fc.constantFrom("global", "namespace", "workload-selector"),
  action: fc.constantFrom("allow", "deny"),
  rules: fc.array(
    record({
      clauses: fc.array(record({ matches: fc.array(arbitraryMatch, { maxLength: 2 }) }), {
        maxLength: 3,
      }),
    }),
    { maxLength: 3 },
  ),
  dryRun: fc.oneof({ arbitrary: fc.constant(false), weight: 4 }, fc.constant(true)),
});

const endpoint = record({ ip: arbitraryIp, port: arbitraryPort });

export const arbitraryConnection: fc.Arbitrary<ConnectionFacts> = record({
  source: endpoint,
  destination: endpoint,
  sourceIdentity: fc.option(arbitraryIdentity, { nil: undefined, freq: 3 }),
});

export const arbitraryJson: fc.Arbitrary<JsonObject> = fc.dictionary(
  fc.oneof(name, fc.constant("__proto__")),
  fc.letrec<{ value: JsonValue }>((tie) => ({
    value: fc.oneof(
      { depthSize: "small" },
      fc.constant(null),
      fc.boolean(),
      fc.double({ noNaN: true }),
      fc.string(),
      fc.array(tie("value"), { maxLength: 3 }),
      fc.dictionary(name, tie("value"), { maxKeys: 3, noNullPrototype: true }),
    ),
  })).value,
  { maxKeys: 4, noNullPrototype: true },
);
