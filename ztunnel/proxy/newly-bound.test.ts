/** Which open connections a change of the mesh makes move to a waypoint. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Service } from "#core/model/service.ts";
import { waypointAddress } from "#core/model/waypoint.ts";
import type { Workload } from "#core/model/workload.ts";
import { ip } from "#core/net/ip.ts";
import { MeshState, type StateChange } from "#core/state/mesh-state.ts";
import { aService, aWorkload } from "#core/testing/builders.ts";
import type { ConnectionRecord } from "./connection-log.ts";
import { mustMove, newlyBound, touches } from "./newly-bound.ts";

const WAYPOINT = waypointAddress("default", "ambit-waypoint", "cluster.local");
const http = aService({ ports: [{ servicePort: 80, targetPort: 8080, appProtocol: "http11" }] });
const tcp = aService({ ports: [{ servicePort: 80, targetPort: 8080, appProtocol: "tcp" }] });
const web = aWorkload({
  name: "web-1",
  addresses: [ip("10.0.0.5")],
  services: new Map([["default/web.default.svc.cluster.local" as never, new Map()]]),
});
const client = aWorkload({ name: "client", addresses: [ip("10.0.0.9")], serviceAccount: "client" });

const direct = (change: Partial<ConnectionRecord> = {}): ConnectionRecord => ({
  direction: "outbound",
  protocol: "hbone",
  source: { ip: ip("10.0.0.9"), port: 1 },
  originalDestination: { ip: ip("10.96.0.7"), port: 80 },
  destination: { ip: ip("10.0.0.5"), port: 15_008 },
  sourceWorkload: client,
  service: http,
  destinationWorkload: web,
  ...change,
});

function commit(...resources: readonly (Service | Workload)[]): { state: MeshState; change: StateChange } {
  const state = new MeshState();
  const change = state.commit({
    upserts: resources.map((resource) =>
      "uid" in resource
        ? ({ kind: "workload", workload: resource } as const)
        : ({ kind: "service", service: resource } as const),
    ),
    removals: [],
  });
  return { state, change };
}

function moves(record: ConnectionRecord, ...resources: readonly (Service | Workload)[]): boolean {
  const { state, change } = commit(...resources);
  const bound = newlyBound(state, change);
  return bound !== undefined && touches(bound, record) && mustMove(state, record, "");
}

test("a change that binds nothing is not looked at further", () => {
  const { state, change } = commit(http, web, client);
  assert.equal(newlyBound(state, change), undefined);
});

const cases: readonly (readonly [string, boolean, boolean])[] = [
  ["to a service that becomes bound moves", moves(direct(), { ...http, waypoint: WAYPOINT }, web), true],
  [
    "to a pod that becomes bound moves, when it was dialled by its address",
    moves(direct({ originalDestination: { ip: ip("10.0.0.5"), port: 8080 }, service: undefined }), http, {
      ...web,
      waypoint: WAYPOINT,
    }),
    true,
  ],
  [
    "to a pod that becomes bound moves, whichever service led there",
    moves(direct(), http, { ...web, waypoint: WAYPOINT }),
    true,
  ],
  [
    "to another service stays",
    moves(
      direct({ service: undefined, destinationWorkload: undefined }),
      { ...http, waypoint: WAYPOINT },
      web,
    ),
    false,
  ],
  [
    "to a port declared TCP stays",
    moves(direct({ service: tcp }), { ...tcp, waypoint: WAYPOINT }, { ...web, waypoint: WAYPOINT }),
    false,
  ],
  [
    "through the waypoint stays",
    moves(direct({ throughWaypoint: true }), { ...http, waypoint: WAYPOINT }, web),
    false,
  ],
  [
    "that has arrived stays: its destination judges it",
    moves(direct({ direction: "inbound" }), { ...http, waypoint: WAYPOINT }, web),
    false,
  ],
];
for (const [name, actual, expected] of cases) {
  test(`a connection ${name}`, () => assert.equal(actual, expected));
}
