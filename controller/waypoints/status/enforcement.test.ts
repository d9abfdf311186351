/** What the status of an HTTP policy says: never more than is true, and what people should know beside it. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { PolicyKey } from "#core/model/ids.ts";
import { loadYaml } from "../../source/file-source.ts";
import { Sources } from "../../sources.ts";
import { testMeshConfig } from "../../test/builders.ts";
import { type MeshPolicy, translateMeshPolicy } from "../../translate/mesh-policy.ts";
import {
  type Binding,
  bindingKey,
  type BindingScope,
  type Stage,
  type WantedBinding,
} from "../binding/binding.ts";
import { enforcedCondition } from "./enforcement.ts";
import type { PortReport } from "./port-report.ts";
import { readWaypointGateway, type WaypointGateway } from "../gateway/waypoint-gateway.ts";
import type { GatewayView, WaypointView } from "./waypoint-view.ts";

const KEY = "shop/items" as PolicyKey;
const SCOPE: BindingScope = { kind: "workloads", labels: {} };
const WISH: WantedBinding = { policy: KEY, field: "spec.rules[0].to[0].operation.methods", scope: SCOPE };
const MESH = { ...testMeshConfig, dryRunPolicies: true };

function policy(annotations = "", action = "ALLOW"): MeshPolicy {
  const sources = new Sources();
  const loaded = loadYaml(
    `{ apiVersion: security.istio.io/v1, kind: AuthorizationPolicy,
      metadata: { name: items, namespace: shop, generation: 2, annotations: { ${annotations} } },
      spec: { action: ${action}, rules: [{ to: [{ operation: { methods: [GET] } }] }] } }`,
    sources,
  );
  const object = sources.authorizationPolicies.get(KEY);
  assert.ok(loaded.ok && object !== undefined);
  return translateMeshPolicy(object, MESH);
}

function gatewayWith(bindings: readonly Binding[]): WaypointGateway {
  const sources = new Sources();
  const loaded = loadYaml(
    `{ apiVersion: gateway.networking.k8s.io/v1, kind: Gateway, metadata: { name: ambit-waypoint, namespace: shop },
      spec: { gatewayClassName: istio-waypoint, listeners: [] } }`,
    sources,
  );
  const object = sources.gateways.get("shop/ambit-waypoint");
  const gateway = object === undefined ? undefined : readWaypointGateway(object);
  assert.ok(loaded.ok && gateway !== undefined);
  return { ...gateway, record: { deploymentUid: "uid", bindings } };
}

const SETTLED: GatewayView = {
  generations: new Map([[KEY, 2]]),
  obstacle: undefined,
  addresses: [],
  readyPods: 1,
  behind: [],
  destinationsBehind: [],
  sourcesMissing: [],
  published: true,
  waits: new Map(),
};

interface Given {
  readonly view?: Partial<GatewayView>;
  readonly wish?: WantedBinding;
  readonly policy?: MeshPolicy;
  readonly waysAround?: readonly string[];
  readonly ports?: PortReport;
}

function said(bindings: readonly Binding[], given: Given = {}): string {
  const view: WaypointView = {
    needs: {
      namespaces: new Map([["shop", [given.wish ?? WISH]]]),
      gaps: new Map(),
      explicit: new Map(),
      waysAround: new Map([[KEY, given.waysAround ?? []]]),
    },
    gateways: new Map([["shop/ambit-waypoint", { ...SETTLED, ...given.view }]]),
  };
  const gateway = gatewayWith(bindings);
  const ports = given.ports ?? { notes: [], judgesNothing: false };
  const condition = enforcedCondition(given.policy ?? policy(), view, () => gateway, ports);
  return `${condition?.status} ${condition?.reason}: ${condition?.message} (${condition?.observedGeneration})`;
}

const at = (stage: Stage): Binding => ({ ...WISH, stage, sinceMs: 0 });
const done = new Map([[bindingKey(WISH), { kind: "stay", reason: "Done", waitsFor: [] } as const]]);

test("enforced, when everybody has the version that is there now", () => {
  assert.match(said([at("enforced")]), /^True Enforced: .*ambit-waypoint enforces spec\.rules\[0\].* \(2\)$/);
});

test("a node whose ztunnel has not been heard of since is named, though the policy is enforced: its callers are refused", () => {
  const view = { sourcesMissing: ["node n3"] };
  assert.match(
    said([at("enforced")], { view }),
    /^True Enforced: .*enforces .*; no ztunnel .* node n3: .*refused/,
  );
  const audit = { policy: policy("", "AUDIT"), wish: { ...WISH, observes: true } };
  const observed = said([at("draining")], { ...audit, view: { ...view, waits: done } });
  assert.match(observed, /^True Enforced/);
  assert.doesNotMatch(observed, /n3/, "nobody is refused");
});

const NOT_YET: readonly (readonly [string, Given, RegExp])[] = [
  [
    "acknowledgements are of the version before",
    { view: { generations: new Map([[KEY, 1]]) } },
    /^False Updating/,
  ],
  ["it has not been published", { view: { published: false } }, /^False Updating/],
  [
    "a waypoint pod is behind",
    { view: { behind: ["pod shop/w"] } },
    /^False WaitingForWaypoint: .*pod shop\/w/,
  ],
  [
    "a destination is behind",
    { view: { destinationsBehind: ["node n"] } },
    /^False WaitingForNode: .*node n/,
  ],
  ["the waypoint cannot be made", { view: { obstacle: "no quota" } }, /^False WaypointFailed: .*no quota/],
];
for (const [name, given, expected] of NOT_YET) {
  test(`not enforced while ${name}`, () => assert.match(said([at("enforced")], given), expected));
}

test("no other stage is enforced", () => {
  const stages = ["starting", "exempting", "binding", "draining", "denying", "releasing", "lifting"] as const;
  for (const stage of stages) assert.match(said([at(stage)]), /^False /, stage);
  assert.match(said([]), /^False WaypointStarting/);
});

test("a dry run is never said to be enforced", () => {
  const given = {
    policy: policy('istio.io/dry-run: "true"'),
    wish: { ...WISH, observes: true },
    view: { waits: done },
  };
  assert.match(said([at("draining")], given), /^False DryRun: .*decides nothing/);
  assert.match(said([at("enforced")], { ...given, view: {} }), /^False DryRun/);
});

test("AUDIT is in force when every request passes the waypoint, and the message says that it only notes", () => {
  const given = { policy: policy("", "AUDIT"), wish: { ...WISH, observes: true } };
  assert.match(said([at("binding")], given), /^False Binding/);
  const arrived = { ...given, view: { waits: done } };
  assert.match(said([at("draining")], arrived), /^True Enforced: .*notes in its access log/);
  const older = { ...given, view: { waits: done, generations: new Map([[KEY, 1]]) } };
  assert.match(said([at("draining")], older), /^False Updating/);
});

test("a policy for which the record has no room is not said to be on its way", () => {
  const others = Array.from({ length: 500 }, (_, i): Binding => ({
    ...at("enforced"),
    policy: `shop/p${i}` as PolicyKey,
  }));
  assert.match(said(others), /^False TooManyPolicies/);
});

test("a service that leads past the targets of a policy is named, though the policy is enforced", () => {
  assert.match(
    said([at("enforced")], { waysAround: ["shop/catalog-admin"] }),
    /^True Enforced: .*who calls shop\/catalog-admin reaches the same pods and is not judged by it/,
  );
});

test("what ports have to do with it is said beside the verdict, and where nothing is judged it is not said to be enforced", () => {
  const notes = ["spec.rules[0] cannot deny anybody on TCP ports 5432"];
  assert.match(
    said([at("enforced")], { ports: { notes, judgesNothing: false } }),
    /^True Enforced: .*; spec\.rules\[0\] cannot deny anybody on TCP ports 5432 \(2\)$/,
  );
  assert.match(said([at("enforced")], { ports: { notes, judgesNothing: true } }), /^False OnlyTcpPorts: /);
});
