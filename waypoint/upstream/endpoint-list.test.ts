/** What is made once for many requests is what would be made for each: same choices, and new ones when anything has changed. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { serviceKey } from "#core/model/ids.ts";
import { spiffeId } from "#core/model/spiffe-id.ts";
import type { Workload } from "#core/model/workload.ts";
import { ip } from "#core/net/ip.ts";
import { MeshState } from "#core/state/mesh-state.ts";
import { aService, aWorkload } from "#core/testing/builders.ts";
import { compileSnapshot, type WaypointSnapshot } from "../policy/snapshot.ts";
import type { ServiceRoute } from "../listener/target-route.ts";
import { type EndpointOutcome, type EndpointSearch, findEndpoint } from "./endpoint.ts";
import { EndpointList } from "./endpoint-list.ts";

const OWN = spiffeId({ trustDomain: "cluster.local", namespace: "default", serviceAccount: "waypoint" });
const service = aService();
const key = serviceKey(service.namespace, service.hostname);
const port = { servicePort: 80, targetPort: 8080, appProtocol: "http11" } as const;
const dialled = { ip: ip("10.96.0.7"), port: 80 };
const route: ServiceRoute = { kind: "service", key, service, port, dialled, protocol: "http" };

function pod(name: string, given: Partial<Workload> = {}): Workload {
  const last = name.slice(-1);
  return aWorkload({
    name,
    addresses: [ip(`10.0.0.${last}`)],
    services: new Map([[key, new Map()]]),
    ...given,
  });
}

const PODS: readonly Workload[] = [
  pod("web-1"),
  pod("web-2", { capacity: 3 }),
  pod("web-3", { capacity: 0 }),
  pod("web-4", { status: "unhealthy" }),
  pod("web-5", { network: "far" }),
  pod("web-6", { serviceAccount: "" }),
  pod("web-7", { serviceAccount: "waypoint" }),
  pod("web-8", { tunnelProtocol: "none" }),
  pod("web-9", { addresses: [], hostname: "web.example" }),
];

function snapshotOf(pods: readonly Workload[]): WaypointSnapshot {
  return compileSnapshot({
    name: "default/waypoint",
    automatic: true,
    pathNormalization: "base",
    clientCertField: false,
    services: [{ service: key, policies: [] }],
    workloads: pods.map(({ uid }) => ({ workload: uid, policies: [] })),
    policies: [],
  });
}

function stateOf(pods: readonly Workload[]): MeshState {
  const state = new MeshState();
  state.commit({
    upserts: [
      { kind: "service", service },
      ...pods.map((workload) => ({ kind: "workload", workload }) as const),
    ],
    removals: [],
  });
  return state;
}

const search = (view: MeshState, snapshot: WaypointSnapshot, random: number): EndpointSearch => ({
  view,
  snapshot,
  source: aWorkload({ name: "waypoint" }),
  network: "",
  ownIdentity: OWN,
  random: () => random,
  without: [],
});

test("every choice is the one that would be made anew", () => {
  for (const known of [PODS, PODS.slice(0, 1), []]) {
    const list = new EndpointList();
    const [state, snapshot] = [stateOf(PODS), snapshotOf(known)];
    for (let i = 0; i < 100; i++) {
      const one = search(state, snapshot, i / 100);
      assert.deepEqual(list.find(route, one), findEndpoint(route, one));
    }
  }
});

test("choices from one state are one object; a change of mesh or configuration is seen at once", () => {
  const list = new EndpointList();
  const state = stateOf(PODS.slice(0, 1));
  const snapshot = snapshotOf(PODS);
  const find = (by: WaypointSnapshot = snapshot): EndpointOutcome => list.find(route, search(state, by, 0));
  const first = find();
  assert.equal(first.kind, "endpoint");
  assert.equal(find(), first);
  assert.deepEqual(find(snapshotOf([])), { kind: "none", reason: "no-healthy-endpoint" });
  assert.deepEqual(find(), first);
  state.commit({ upserts: [], removals: [{ type: "address", name: pod("web-1").uid }] });
  assert.deepEqual(find(), { kind: "none", reason: "no-healthy-endpoint" });
});

test("an endpoint that failed is left out, whatever is remembered", () => {
  const list = new EndpointList();
  const state = stateOf(PODS.slice(0, 2));
  const one = search(state, snapshotOf(PODS), 0);
  const first = list.find(route, one);
  assert.ok(first.kind === "endpoint");
  const second = list.find(route, { ...one, without: [first.endpoint.workload] });
  assert.ok(second.kind === "endpoint");
  assert.notEqual(second.endpoint.workload.uid, first.endpoint.workload.uid);
  assert.equal(list.find(route, one), first);
});
