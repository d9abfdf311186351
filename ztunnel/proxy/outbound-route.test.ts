import assert from "node:assert/strict";
import { test } from "node:test";
import { aService, aWorkload } from "#core/testing/builders.ts";
import { workloadUid } from "#core/model/ids.ts";
import type { GatewayAddress } from "#core/model/address.ts";
import type { Service } from "#core/model/service.ts";
import type { Workload } from "#core/model/workload.ts";
import { cidr } from "#core/net/cidr.ts";
import { ip } from "#core/net/ip.ts";
import { parseSocketAddress } from "#core/net/socket-address.ts";
import { MeshState } from "#core/state/mesh-state.ts";
import { chooseOutboundRoute, describeRoute, type OutboundRoute } from "./outbound-route.ts";

interface RouteCase {
  readonly name: string;
  readonly to: string;
  readonly given?: readonly (Workload | Service)[];
  readonly local?: boolean;
  readonly from?: Partial<Workload>;
  readonly random?: number;
  readonly expect: string;
  readonly identities?: readonly string[];
}

const endpointOf = (key: string, ports: readonly (readonly [number, number])[] = []): Workload["services"] =>
  new Map([[key as never, new Map(ports)]]);
const WEB = endpointOf("default/web.default.svc.cluster.local");
const web = aWorkload({ name: "web-1", addresses: [ip("10.0.0.5")], services: WEB });
const source = aWorkload({ name: "client", addresses: [ip("10.0.0.9")], serviceAccount: "client" });
const byName = (namespace: string, hostname: string): GatewayAddress => ({
  destination: { kind: "hostname", name: { namespace, hostname } },
  hboneMtlsPort: 15_008,
});
const WP = byName("default", "wp.default.svc.cluster.local");
const wpService = aService({
  name: "wp",
  vips: [{ network: "", ip: ip("10.96.0.50") }],
  ports: [{ servicePort: 15_008, targetPort: 15_008, appProtocol: "unknown" }],
});
const wpPod = aWorkload({
  name: "wp-1",
  addresses: [ip("10.0.0.50")],
  serviceAccount: "wp",
  tunnelProtocol: "none",
  services: endpointOf("default/wp.default.svc.cluster.local"),
});

const AUTO = byName("default", "ambit-waypoint.default.svc.cluster.local");
const autoService = aService({
  name: "ambit-waypoint",
  hostname: "ambit-waypoint.default.svc.cluster.local",
  vips: [],
  ports: [{ servicePort: 15_008, targetPort: 15_008, appProtocol: "unknown" }],
});
const autoPod = aWorkload({
  name: "ambit-waypoint-1",
  addresses: [ip("10.0.0.60")],
  serviceAccount: "ambit-waypoint",
  tunnelProtocol: "none",
  services: endpointOf("default/ambit-waypoint.default.svc.cluster.local"),
});
const thief = aWorkload({ ...autoPod, name: "thief", serviceAccount: "thief", addresses: [ip("10.0.0.61")] });
const AUTO_IDENTITY = "spiffe://cluster.local/ns/default/sa/ambit-waypoint";
type Port = Service["ports"][number];
const port = (appProtocol: Port["appProtocol"], servicePort = 80, targetPort = 8080): Port => ({
  servicePort,
  targetPort,
  appProtocol,
});
const shop = (protocol: Port["appProtocol"], change: Partial<Service> = {}): Service =>
  aService({ ports: [port(protocol)], waypoint: AUTO, ...change });
/** A second service over the same pods. */
const second = (protocol: Port["appProtocol"], change: Partial<Service> = {}): Service =>
  aService({
    name: "second",
    hostname: "second.default.svc.cluster.local",
    vips: [{ network: "", ip: ip("10.96.0.8") }],
    ports: [port(protocol, 81)],
    ...change,
  });
const BOTH = new Map([...WEB, ...endpointOf("default/second.default.svc.cluster.local")]);
const bound = { ...web, waypoint: AUTO };

const cases: readonly RouteCase[] = [
  { name: "an unknown address passes through", to: "1.2.3.4:443", expect: "passthrough 1.2.3.4:443" },
  {
    name: "an enrolled pod by address is reached through a tunnel under its own identity",
    to: "10.0.0.5:9090",
    given: [web],
    expect: "hbone 10.0.0.5:15008 for 10.0.0.5:9090",
    identities: ["spiffe://cluster.local/ns/default/sa/web"],
  },
  {
    name: "a pod that is not enrolled is reached in clear",
    to: "10.0.0.5:9090",
    given: [aWorkload({ tunnelProtocol: "none" })],
    expect: "passthrough 10.0.0.5:9090",
  },
  {
    name: "a service's port is translated to its target port",
    to: "10.96.0.7:80",
    given: [aService(), web],
    expect: "hbone 10.0.0.5:15008 for 10.0.0.5:8080",
  },
  {
    name: "an endpoint's own port wins over the service's",
    to: "10.96.0.7:80",
    given: [
      aService(),
      aWorkload({ services: endpointOf("default/web.default.svc.cluster.local", [[80, 7000]]) }),
    ],
    expect: "hbone 10.0.0.5:15008 for 10.0.0.5:7000",
  },
  {
    name: "names of the service are accepted beside the workload's identity",
    to: "10.96.0.7:80",
    given: [aService({ subjectAltNames: ["spiffe://cluster.local/ns/x/sa/y" as never] }), web],
    expect: "hbone 10.0.0.5:15008 for 10.0.0.5:8080",
    identities: ["spiffe://cluster.local/ns/x/sa/y", "spiffe://cluster.local/ns/default/sa/web"],
  },
  {
    name: "a service without endpoints is refused, not passed through",
    to: "10.96.0.7:80",
    given: [aService()],
    expect: "reject no-healthy-endpoint",
  },
  {
    name: "a port that the service does not have is refused",
    to: "10.96.0.7:81",
    given: [aService(), web],
    expect: "reject no-healthy-endpoint",
  },
  {
    name: "an unhealthy endpoint is not chosen",
    to: "10.96.0.7:80",
    given: [aService(), aWorkload({ services: WEB, status: "unhealthy" })],
    expect: "reject no-healthy-endpoint",
  },
  {
    name: "a passthrough service keeps the original destination",
    to: "10.96.0.7:80",
    given: [
      aService({
        loadBalancing: { mode: "passthrough", routingPreferences: [], healthPolicy: "only-healthy" },
      }),
    ],
    expect: "passthrough 10.96.0.7:80",
  },
  {
    name: "an address block of a service",
    to: "10.97.3.4:80",
    given: [aService({ vips: [], cidrVips: [{ network: "", cidr: cidr(ip("10.97.0.0"), 16) }] }), web],
    expect: "hbone 10.0.0.5:15008 for 10.0.0.5:8080",
  },
  {
    name: "a service with a waypoint goes to the waypoint, addressed as dialled, although the waypoint is not enrolled",
    to: "10.96.0.7:80",
    given: [aService({ waypoint: WP }), web, wpService, wpPod],
    expect: "hbone 10.0.0.50:15008 for 10.96.0.7:80",
    identities: ["spiffe://cluster.local/ns/default/sa/wp"],
  },
  {
    name: "a waypoint without pods is waited for, never gone around",
    to: "10.96.0.7:80",
    given: [aService({ waypoint: WP }), web, wpService],
    expect: "wait for a waypoint to 10.96.0.7:80",
  },
  {
    name: "a waypoint nobody has described is waited for",
    to: "10.96.0.7:80",
    given: [aService({ waypoint: WP }), web],
    expect: "wait for a waypoint to 10.96.0.7:80",
  },
  {
    name: "an address claimed by a pod and by a service with a waypoint goes to the waypoint",
    to: "10.96.0.7:80",
    given: [aService({ waypoint: WP }), wpService, wpPod, aWorkload({ addresses: [ip("10.96.0.7")] })],
    expect: "hbone 10.0.0.50:15008 for 10.96.0.7:80",
  },
  {
    name: "the hop to a waypoint is never short-circuited",
    to: "10.96.0.7:80",
    given: [aService({ waypoint: WP }), web, wpService, wpPod],
    local: true,
    expect: "hbone 10.0.0.50:15008 for 10.96.0.7:80",
  },
  {
    name: "pod addresses are bound by the pod's own waypoint",
    to: "10.0.0.5:9090",
    given: [aWorkload({ waypoint: WP }), wpService, wpPod],
    expect: "hbone 10.0.0.50:15008 for 10.0.0.5:9090",
  },
  {
    name: "a service without a waypoint does not use its pods' waypoint",
    to: "10.96.0.7:80",
    given: [aService(), { ...web, waypoint: WP }, wpService, wpPod],
    expect: "hbone 10.0.0.5:15008 for 10.0.0.5:8080",
  },
  {
    name: "the waypoint itself reaches its pods directly",
    to: "10.0.0.5:9090",
    from: wpPod,
    given: [aWorkload({ waypoint: WP }), wpService, wpPod],
    expect: "hbone 10.0.0.5:15008 for 10.0.0.5:9090",
  },
  {
    name: "a pod that only borrows the waypoint's account does not get around the waypoint",
    to: "10.0.0.5:9090",
    from: { ...wpPod, uid: workloadUid("c//Pod/default/thief"), services: new Map() },
    given: [aWorkload({ waypoint: WP }), wpService, wpPod],
    expect: "hbone 10.0.0.50:15008 for 10.0.0.5:9090",
  },
  {
    name: "a pod that only borrows the waypoint's label, and so is its endpoint, does not get around it either",
    to: "10.0.0.5:9090",
    from: { ...wpPod, uid: workloadUid("c//Pod/default/thief"), serviceAccount: "thief" },
    given: [aWorkload({ waypoint: WP }), wpService, wpPod],
    expect: "hbone 10.0.0.50:15008 for 10.0.0.5:9090",
  },
  {
    name: "an empty account is no identity, so there is no tunnel and no plaintext either",
    to: "10.0.0.5:9090",
    given: [aWorkload({ serviceAccount: "" })],
    expect: "reject destination-has-no-identity",
  },
  {
    name: "a destination on another network is refused",
    to: "10.96.0.7:80",
    given: [aService(), { ...web, network: "other" }],
    expect: "reject other-network",
  },
  {
    name: "a pod of this ztunnel is reached in process",
    to: "10.96.0.7:80",
    given: [aService(), web],
    local: true,
    expect: "local 10.0.0.5:8080",
  },
  {
    name: "a pod of this ztunnel that is not enrolled is not reached in process",
    to: "10.0.0.5:9090",
    given: [aWorkload({ tunnelProtocol: "none" })],
    local: true,
    expect: "passthrough 10.0.0.5:9090",
  },
  {
    name: "a hostNetwork workload is not found by address",
    to: "10.0.0.5:9090",
    given: [aWorkload({ networkMode: "host-network" })],
    expect: "passthrough 10.0.0.5:9090",
  },
  {
    name: "a service that only its own namespace may see is unknown elsewhere",
    to: "10.96.0.7:80",
    given: [aService({ visibility: "namespace" }), web],
    from: { namespace: "elsewhere" },
    expect: "passthrough 10.96.0.7:80",
  },
  {
    name: "weighted waypoints share, the second half goes to the second",
    to: "10.96.0.7:80",
    given: [
      aService({
        waypoint: byName("default", "gone"),
        weightedWaypoints: [
          { destination: byName("default", "gone"), weight: 50 },
          { destination: WP, weight: 50 },
        ],
      }),
      wpService,
      wpPod,
    ],
    random: 0.75,
    expect: "hbone 10.0.0.50:15008 for 10.96.0.7:80",
  },
  ...(["http11", "http2", "grpc", "unknown"] as const).map((protocol) => ({
    name: `automatic: a port declared ${protocol} goes through the waypoint, under the waypoint's own identity`,
    to: "10.96.0.7:80",
    given: [shop(protocol), bound, autoService, autoPod],
    expect: "hbone 10.0.0.60:15008 for 10.96.0.7:80",
    identities: [AUTO_IDENTITY],
  })),
  ...(["tcp", "tls"] as const).map((protocol) => ({
    name: `automatic: a port declared ${protocol} goes direct, under the workload's identity`,
    to: "10.96.0.7:80",
    given: [shop(protocol), bound, autoService, autoPod],
    expect: "hbone 10.0.0.5:15008 for 10.0.0.5:8080",
    identities: ["spiffe://cluster.local/ns/default/sa/web"],
  })),
  {
    name: "explicit: a port declared TCP goes through the waypoint all the same, as in Istio",
    to: "10.96.0.7:80",
    given: [shop("tcp", { waypoint: WP }), web, wpService, wpPod],
    expect: "hbone 10.0.0.50:15008 for 10.96.0.7:80",
  },
  {
    name: "automatic: a port declared TCP is reached in process when the pod is here",
    to: "10.96.0.7:80",
    given: [shop("tcp"), bound, autoService, autoPod],
    local: true,
    expect: "local 10.0.0.5:8080",
  },
  {
    name: "automatic: the short way within a node never replaces the hop to the waypoint",
    to: "10.96.0.7:80",
    given: [shop("http11"), bound, autoService, autoPod],
    local: true,
    expect: "hbone 10.0.0.60:15008 for 10.96.0.7:80",
  },
  {
    name: "automatic: nor does it when the pod itself is dialled",
    to: "10.0.0.5:8080",
    given: [shop("http11"), bound, autoService, autoPod],
    local: true,
    expect: "hbone 10.0.0.60:15008 for 10.0.0.5:8080",
  },
  {
    name: "automatic: a pod dialled at a port declared TCP is reached directly",
    to: "10.0.0.5:8080",
    given: [shop("tcp"), bound, autoService, autoPod],
    expect: "hbone 10.0.0.5:15008 for 10.0.0.5:8080",
  },
  {
    name: "automatic: a pod dialled at a port that no service declares goes through the waypoint",
    to: "10.0.0.5:9999",
    given: [shop("tcp"), bound, autoService, autoPod],
    expect: "hbone 10.0.0.60:15008 for 10.0.0.5:9999",
  },
  {
    name: "automatic: a pod dialled at such a port that is kept from waypoints is reached directly",
    to: "10.0.0.5:9999",
    given: [shop("tcp"), { ...bound, excludedPorts: [9_999] }, autoService, autoPod],
    expect: "hbone 10.0.0.5:15008 for 10.0.0.5:9999",
  },
  ...(["unknown", "http11"] as const).map((protocol) => ({
    name: `automatic: a service's port declared ${protocol} that its pod keeps from waypoints: HTTP wins`,
    to: "10.96.0.7:80",
    given: [shop(protocol), { ...bound, excludedPorts: [8_080] }, autoService, autoPod],
    expect:
      protocol === "unknown"
        ? "hbone 10.0.0.5:15008 for 10.0.0.5:8080"
        : "hbone 10.0.0.60:15008 for 10.96.0.7:80",
  })),
  {
    name: "explicit: a port that is kept from waypoints goes through it all the same",
    to: "10.96.0.7:80",
    given: [shop("unknown", { waypoint: WP }), { ...web, excludedPorts: [8_080] }, wpService, wpPod],
    expect: "hbone 10.0.0.50:15008 for 10.96.0.7:80",
  },
  {
    name: "automatic: two services declare one target port differently, HTTP wins for the one that says TCP",
    to: "10.96.0.7:80",
    given: [
      shop("tcp"),
      second("http11", { waypoint: AUTO }),
      { ...bound, services: BOTH },
      autoService,
      autoPod,
    ],
    expect: "hbone 10.0.0.60:15008 for 10.96.0.7:80",
  },
  {
    name: "automatic: and for the pod's own address",
    to: "10.0.0.5:8080",
    given: [
      shop("tcp"),
      second("http11", { waypoint: AUTO }),
      { ...bound, services: BOTH },
      autoService,
      autoPod,
    ],
    expect: "hbone 10.0.0.60:15008 for 10.0.0.5:8080",
  },
  {
    name: "automatic: two services that both say TCP agree",
    to: "10.96.0.7:80",
    given: [
      shop("tcp"),
      second("tls", { waypoint: AUTO }),
      { ...bound, services: BOTH },
      autoService,
      autoPod,
    ],
    expect: "hbone 10.0.0.5:15008 for 10.0.0.5:8080",
  },
  {
    name: "automatic: a service that is not bound yet leads to a bound pod through the pod's waypoint, asked for the pod",
    to: "10.96.0.8:81",
    given: [second("http11"), { ...bound, services: BOTH }, autoService, autoPod],
    expect: "hbone 10.0.0.60:15008 for 10.0.0.5:8080",
    identities: [AUTO_IDENTITY],
  },
  {
    name: "automatic: of a service that is not bound a port declared TCP leads directly",
    to: "10.96.0.8:81",
    given: [second("tcp"), { ...bound, services: BOTH }, autoService, autoPod],
    expect: "hbone 10.0.0.5:15008 for 10.0.0.5:8080",
  },
  {
    name: "automatic: without a waypoint pod it waits",
    to: "10.96.0.7:80",
    given: [shop("http11"), bound, autoService],
    expect: "wait for a waypoint to 10.96.0.7:80",
  },
  {
    name: "automatic: without a waypoint pod a port declared TCP is reached all the same",
    to: "10.96.0.7:80",
    given: [shop("tcp"), bound, autoService],
    expect: "hbone 10.0.0.5:15008 for 10.0.0.5:8080",
  },
  {
    name: "automatic: an endpoint under another account is never believed to be the waypoint",
    to: "10.96.0.7:80",
    given: [
      shop("http11", { subjectAltNames: ["spiffe://cluster.local/ns/default/sa/thief" as never] }),
      bound,
      autoService,
      thief,
    ],
    expect: "hbone 10.0.0.61:15008 for 10.96.0.7:80",
    identities: [AUTO_IDENTITY],
  },
  {
    name: "automatic: a pod of the waypoint's name in another namespace is not meant",
    to: "10.96.0.7:80",
    given: [shop("tcp", { waypoint: byName("default", "ambit-waypoint.other.svc.cluster.local") }), bound],
    expect: "wait for a waypoint to 10.96.0.7:80",
  },
];

for (const c of cases) {
  test(c.name, () => {
    const route = routeFor(c);
    assert.strictEqual(describeRoute(route), c.expect);
    if (c.identities !== undefined) {
      assert.deepStrictEqual(route.kind === "hbone" ? route.expectedIdentities : [], c.identities);
    }
  });
}

function routeFor(c: RouteCase): OutboundRoute {
  const state = new MeshState();
  const upserts = (c.given ?? []).map((resource) =>
    "uid" in resource
      ? ({ kind: "workload", workload: resource } as const)
      : ({ kind: "service", service: resource } as const),
  );
  state.commit({ upserts, removals: [] });
  const destination = parseSocketAddress(c.to);
  if (!destination.ok) throw new Error(c.to);
  return chooseOutboundRoute(state, {
    source: { ...source, ...c.from },
    destination: destination.value,
    network: "",
    isLocal: () => c.local === true,
    random: () => c.random ?? 0,
  });
}
