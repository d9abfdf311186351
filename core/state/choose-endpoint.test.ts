import assert from "node:assert/strict";
import { test } from "node:test";
import { serviceKey } from "../model/ids.ts";
import type { LoadBalancing, RoutingScope } from "../model/service.ts";
import type { Workload } from "../model/workload.ts";
import { ip } from "../net/ip.ts";
import { aService, aWorkload } from "../testing/builders.ts";
import { chooseEndpoint } from "./choose-endpoint.ts";
import { MeshState } from "./mesh-state.ts";

const KEY = serviceKey("default", "web.default.svc.cluster.local");
const MEMBER: Workload["services"] = new Map([[KEY, new Map()]]);

function pod(name: string, address: string, given: Partial<Workload> = {}): Workload {
  return aWorkload({ name, addresses: [ip(address)], services: MEMBER, ...given });
}

const lb = (mode: LoadBalancing["mode"], ...routingPreferences: readonly RoutingScope[]): LoadBalancing => ({
  mode,
  routingPreferences,
  healthPolicy: "only-healthy",
});
const at = (region: string, zone: string, subzone = ""): Workload["locality"] => ({ region, zone, subzone });

interface EndpointCase {
  readonly name: string;
  readonly pods: readonly Workload[];
  readonly service?: Parameters<typeof aService>[0];
  readonly source?: Partial<Workload>;
  readonly dialled?: string;
  readonly mode?: "standard" | "waypoint";
  /** Every address (or reason) that may be chosen. */
  readonly expect: readonly string[];
}

const cases: readonly EndpointCase[] = [
  {
    name: "without preferences all share",
    pods: [pod("a", "10.0.0.1"), pod("b", "10.0.0.2")],
    expect: ["10.0.0.1:8080", "10.0.0.2:8080"],
  },
  {
    name: "capacity 0 is never chosen",
    pods: [pod("a", "10.0.0.1", { capacity: 0 }), pod("b", "10.0.0.2")],
    expect: ["10.0.0.2:8080"],
  },
  {
    name: "only capacity 0 is a refusal",
    pods: [pod("a", "10.0.0.1", { capacity: 0 })],
    expect: ["no-healthy-endpoint"],
  },
  {
    name: "unhealthy endpoints are not chosen",
    pods: [pod("a", "10.0.0.1", { status: "unhealthy" }), pod("b", "10.0.0.2")],
    expect: ["10.0.0.2:8080"],
  },
  {
    name: "unless the service allows all",
    pods: [pod("a", "10.0.0.1", { status: "unhealthy" })],
    service: { loadBalancing: { mode: "standard", routingPreferences: [], healthPolicy: "allow-all" } },
    expect: ["10.0.0.1:8080"],
  },
  {
    name: "failover keeps the best rank",
    pods: [
      pod("a", "10.0.0.1", { locality: at("r", "z2") }),
      pod("b", "10.0.0.2", { locality: at("r", "z1") }),
    ],
    service: { loadBalancing: lb("failover", "region", "zone") },
    source: { locality: at("r", "z1") },
    expect: ["10.0.0.2:8080"],
  },
  {
    name: "failover counts leading matches only: same zone name in another region does not count",
    pods: [
      pod("a", "10.0.0.1", { locality: at("r2", "z1") }),
      pod("b", "10.0.0.2", { locality: at("r", "z9") }),
    ],
    service: { loadBalancing: lb("failover", "region", "zone") },
    source: { locality: at("r", "z1") },
    expect: ["10.0.0.2:8080"],
  },
  {
    name: "failover falls back to any endpoint",
    pods: [pod("a", "10.0.0.1", { locality: at("far", "z") })],
    service: { loadBalancing: lb("failover", "region") },
    source: { locality: at("r", "z") },
    expect: ["10.0.0.1:8080"],
  },
  {
    name: "strict does not",
    pods: [pod("a", "10.0.0.1", { node: "node2" })],
    service: { loadBalancing: lb("strict", "node") },
    source: { node: "node1" },
    expect: ["no-healthy-endpoint"],
  },
  {
    name: "strict with a match",
    pods: [pod("a", "10.0.0.1", { node: "node2" }), pod("b", "10.0.0.2", { node: "node1" })],
    service: { loadBalancing: lb("strict", "node") },
    source: { node: "node1" },
    expect: ["10.0.0.2:8080"],
  },
  {
    name: "a network preference in front outweighs all others and does not end the count",
    pods: [
      pod("a", "10.0.0.1", { network: "", locality: at("other", "other") }),
      pod("b", "10.0.0.2", { network: "n2", locality: at("r", "z") }),
    ],
    service: { loadBalancing: lb("failover", "network", "region", "zone") },
    source: { locality: at("r", "z") },
    expect: ["10.0.0.1:8080"],
  },
  {
    name: "the family that was dialled is preferred",
    pods: [pod("a", "10.0.0.1", { addresses: [ip("10.0.0.1"), ip("fd00::1")] })],
    dialled: "fd00::99",
    expect: ["fd00::1:8080"],
  },
  {
    name: "a service of one family only",
    pods: [pod("a", "10.0.0.1", { addresses: [ip("10.0.0.1"), ip("fd00::1")] })],
    service: { ipFamilies: "ipv4" },
    dialled: "fd00::99",
    expect: ["10.0.0.1:8080"],
  },
  {
    name: "an endpoint known by name only has no address here",
    pods: [pod("a", "10.0.0.1", { addresses: [], hostname: "db.example.com" })],
    expect: ["destination-has-no-address"],
  },
  {
    name: "a port nobody declared",
    pods: [pod("a", "10.0.0.1")],
    service: { ports: [{ servicePort: 80, targetPort: 0, appProtocol: "unknown" }] },
    expect: ["no-healthy-endpoint"],
  },
  {
    name: "a waypoint with an application tunnel needs no declared port",
    pods: [pod("a", "10.0.0.1", { applicationTunnel: { protocol: "proxy", port: 0 } })],
    service: { ports: [] },
    mode: "waypoint",
    expect: ["10.0.0.1:80"],
  },
];

for (const c of cases) {
  test(c.name, () => {
    const state = new MeshState();
    const service = aService(c.service ?? {});
    state.commit({
      upserts: [
        { kind: "service", service },
        ...c.pods.map((workload) => ({ kind: "workload", workload }) as const),
      ],
      removals: [],
    });
    const seen = new Set<string>();
    for (let i = 0; i < 20; i++) {
      const choice = chooseEndpoint(state, {
        service,
        servicePort: 80,
        source: aWorkload({ name: "client", ...c.source }),
        dialled: { network: "", ip: ip(c.dialled ?? "10.96.0.7") },
        mode: c.mode ?? "standard",
        random: () => i / 20,
      });
      seen.add(choice.kind === "none" ? choice.reason : `${choice.ip}:${choice.port}`);
    }
    assert.deepStrictEqual([...seen].toSorted(), c.expect);
  });
}
