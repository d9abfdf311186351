import assert from "node:assert/strict";
import { test } from "node:test";
import { jsonList, jsonObject } from "#core/k8s/json-read.ts";
import { projectService } from "#core/k8s/project.ts";
import { eventually, ROOTS, startHarness } from "../test/harness.ts";
import type { ServiceWaypoint } from "../mesh-waypoints.ts";
import { boundConditions, boundConditionsOf } from "./waypoint-bound.ts";

const service = projectService({ metadata: { name: "catalog", namespace: "shop" } });
const explicit = {
  kind: "explicit",
  namespace: "shop",
  name: "edge",
  carrier: "service shop/catalog",
} as const;

function standing(given: Partial<ServiceWaypoint>): ServiceWaypoint {
  const none = { judges: [], inForce: undefined, waypoint: undefined, refusal: undefined };
  return { service, choice: explicit, ...none, ...given };
}

const ROWS: readonly (readonly [string, Partial<ServiceWaypoint>, readonly string[]])[] = [
  [
    "bound",
    { inForce: "shop/edge" },
    ["True", "WaypointAccepted", "Successfully attached to waypoint shop/edge"],
  ],
  [
    "no such Gateway",
    { refusal: "WaypointNotFound" },
    ["False", "WaypointNotFound", "there is no Gateway shop/edge"],
  ],
  ["not ready", { refusal: "WaypointIsNotReady" }, ["False", "WaypointIsNotReady", "not ready"]],
  ["not allowed", { refusal: "AttachmentDenied" }, ["False", "AttachmentDenied", "allowedRoutes"]],
  ["for pods", { refusal: "UnsupportedTrafficType" }, ["False", "UnsupportedTrafficType", "waypoint-for"]],
  [
    "the one before goes on",
    { inForce: "shop/ambit-waypoint", refusal: "WaypointNotFound" },
    [
      "False",
      "WaypointNotFound",
      "there is no Gateway shop/edge of class istio-waypoint; meanwhile waypoint shop/ambit-waypoint goes on",
    ],
  ],
  [
    "taking over",
    { inForce: "shop/old" },
    ["False", "WaypointIsNotReady", "not in force yet; meanwhile waypoint shop/old goes on"],
  ],
  ["an automatic one", { choice: { kind: "automatic" }, inForce: "shop/ambit-waypoint" }, []],
  ["opted out", { choice: { kind: "opted-out", by: "service shop/catalog" } }, []],
  ["a waypoint's own service", {}, []],
];
for (const [what, given, [status, reason, message = ""]] of ROWS) {
  test(`what a Service says of its waypoint: ${what}`, () => {
    const [condition] = boundConditions(standing(given));
    assert.deepEqual([condition?.status, condition?.reason], [status, reason]);
    assert.ok((condition?.message ?? "").includes(message));
  });
}

test("conditions of others are not looked at, whatever they are called", () => {
  const conditions = [{ type: "Programmed" }, { type: "istio.io/WaypointBound", status: "True" }];
  const own = boundConditionsOf(standing({ service: { ...service, conditions } }));
  assert.deepEqual(own, [conditions[1]]);
});

test(
  "the leader writes it on the Service, and takes it back with the label",
  { timeout: 30_000 },
  async (t) => {
    const catalog = (labels: object): Record<string, unknown> => ({
      metadata: { name: "catalog", namespace: "shop", labels },
      spec: { clusterIP: "10.96.0.50", ports: [{ port: 80 }] },
    });
    const seed = { "istio.io/use-waypoint": "edge" };
    const h = await startHarness({ seed: (api) => void api.put(ROOTS.services, catalog(seed)) });
    t.after(() => h.stop());
    const writes = (): readonly unknown[] =>
      h.api.requests
        .filter((r) => r.method === "PATCH" && r.path.endsWith("/services/catalog/status"))
        .map((r) => jsonObject(r.body?.["status"])["conditions"]);
    await eventually("the condition", () => writes().length === 1);
    const [first] = jsonList(writes()[0]).map(jsonObject);
    assert.deepEqual([first?.["status"], first?.["reason"]], ["False", "WaypointNotFound"]);
    h.api.put(ROOTS.services, { ...catalog({}), status: { conditions: [first] } });
    await eventually("no condition", () => writes().length === 2);
    assert.deepEqual(writes()[1], []);
  },
);
