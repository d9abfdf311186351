import assert from "node:assert/strict";
import { test } from "node:test";
import { parseTarget } from "#core/hbone/connect-request.ts";
import type { GatewayAddress } from "#core/model/address.ts";
import { serviceKey } from "#core/model/ids.ts";
import type { Service } from "#core/model/service.ts";
import type { Workload } from "#core/model/workload.ts";
import { ip } from "#core/net/ip.ts";
import { formatSocketAddress } from "#core/net/socket-address.ts";
import { aService, aWorkload } from "#core/testing/builders.ts";
import { MeshState } from "#core/state/mesh-state.ts";
import { chooseInboundRoute } from "./inbound-route.ts";

const WEB = "web.default.svc.cluster.local";
const member = (ports: readonly (readonly [number, number])[] = []): Workload["services"] =>
  new Map([[serviceKey("default", WEB), new Map(ports)]]);
const pod = aWorkload({ services: member() });
const waypointOf = (hostname: string): GatewayAddress => ({
  destination: { kind: "hostname", name: { namespace: "default", hostname } },
  hboneMtlsPort: 15_008,
});
const other = aWorkload({ name: "other", addresses: [ip("10.0.0.77")] });

interface InboundCase {
  readonly name: string;
  readonly authority: string;
  readonly pod?: Workload;
  readonly given?: readonly (Workload | Service)[];
  readonly expect: string;
}

const cases: readonly InboundCase[] = [
  {
    name: "another pod's address is refused",
    authority: "10.0.0.77:8080",
    given: [other],
    expect: "wrong-authority",
  },
  { name: "an unknown address is refused", authority: "8.8.8.8:53", expect: "wrong-authority" },
  { name: "loopback is refused", authority: "127.0.0.1:8080", expect: "wrong-authority" },
  {
    name: "a service address without a waypoint is refused",
    authority: "10.96.0.7:80",
    given: [aService()],
    expect: "wrong-authority",
  },
  {
    name: "a service address bound to another waypoint is refused",
    authority: "10.96.0.9:80",
    given: [
      aService({ name: "api", vips: [{ network: "", ip: ip("10.96.0.9") }], waypoint: waypointOf("wp") }),
    ],
    expect: "wrong-authority",
  },
  { name: "ztunnel's outbound port is never dialled", authority: "10.0.0.5:15001", expect: "own-port" },
  { name: "ztunnel's plaintext port is never dialled", authority: "10.0.0.5:15006", expect: "own-port" },
  { name: "ztunnel's tunnel port is never dialled", authority: "10.0.0.5:15008", expect: "own-port" },
  {
    name: "nor by way of a service's target port",
    authority: `${WEB}:80`,
    given: [aService({ ports: [{ servicePort: 80, targetPort: 15_008, appProtocol: "unknown" }] })],
    expect: "own-port",
  },
  {
    name: "nor by way of an application tunnel",
    authority: "10.0.0.5:80",
    pod: aWorkload({ applicationTunnel: { protocol: "none", port: 15_006 } }),
    expect: "own-port",
  },
  { name: "an unknown name is refused", authority: "nobody.example:80", expect: "destination-unknown" },
  {
    name: "the name of a service that the pod is not part of is refused",
    authority: "api.default.svc.cluster.local:80",
    given: [aService({ name: "api" })],
    expect: "wrong-authority",
  },
  {
    name: "a port that the service lacks is refused",
    authority: `${WEB}:81`,
    given: [aService()],
    expect: "port-unknown",
  },
  { name: "the pod's own address and any port", authority: "10.0.0.5:9090", expect: "10.0.0.5:9090" },
  {
    name: "a name and a service port give the target port",
    authority: `${WEB}:80`,
    given: [aService()],
    expect: "10.0.0.5:8080",
  },
  {
    name: "the endpoint's own port wins",
    authority: `${WEB}:80`,
    pod: aWorkload({ services: member([[80, 7000]]) }),
    given: [aService()],
    expect: "10.0.0.5:7000",
  },
  {
    name: "an application tunnel overrides the port and takes any address",
    authority: "10.96.0.9:80",
    pod: aWorkload({ applicationTunnel: { protocol: "none", port: 15_088 } }),
    expect: "10.0.0.5:15088",
  },
  {
    name: "a waypoint receives for the services that are bound to it",
    authority: "10.96.0.9:80",
    given: [
      aService(),
      aService({ name: "api", vips: [{ network: "", ip: ip("10.96.0.9") }], waypoint: waypointOf(WEB) }),
    ],
    expect: "10.0.0.5:80",
  },
  {
    name: "and for the pods that are bound to it",
    authority: "10.0.0.77:80",
    given: [aService(), { ...other, waypoint: waypointOf(WEB) }],
    expect: "10.0.0.5:80",
  },
];

for (const c of cases) {
  test(`${c.name}: ${c.authority}`, () => {
    const workload = c.pod ?? pod;
    const state = new MeshState();
    const upserts = [workload, ...(c.given ?? [])].map((r) =>
      "uid" in r ? ({ kind: "workload", workload: r } as const) : ({ kind: "service", service: r } as const),
    );
    state.commit({ upserts, removals: [] });
    const target = parseTarget(c.authority);
    assert.ok(target.ok);
    const route = chooseInboundRoute(state, {
      workload,
      localIp: ip("10.0.0.5"),
      target: target.value,
      network: "",
    });
    assert.equal(route.kind === "dial" ? formatSocketAddress(route.destination) : route.reason, c.expect);
  });
}
