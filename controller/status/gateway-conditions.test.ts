import assert from "node:assert/strict";
import { test } from "node:test";
import { loadYaml } from "../source/file-source.ts";
import { Sources } from "../sources.ts";
import { readWaypointGateway } from "../waypoints/gateway/waypoint-gateway.ts";
import type { GatewayView } from "../waypoints/status/waypoint-view.ts";
import { gatewayConditions } from "./gateway-conditions.ts";

const VIEW: GatewayView = {
  generations: new Map(),
  obstacle: undefined,
  addresses: [],
  readyPods: 0,
  behind: [],
  destinationsBehind: [],
  sourcesMissing: [],
  published: true,
  waits: new Map(),
};

function accepted(name: string, metadata: string): string {
  const sources = new Sources();
  const loaded = loadYaml(
    `{ apiVersion: gateway.networking.k8s.io/v1, kind: Gateway, metadata: { name: ${name}, namespace: shop, ${metadata} },
      spec: { gatewayClassName: istio-waypoint, listeners: [] } }`,
    sources,
  );
  assert.ok(loaded.ok);
  const object = sources.gateways.get(`shop/${name}`);
  const gateway = object === undefined ? undefined : readWaypointGateway(object);
  assert.ok(gateway !== undefined);
  const [condition] = gatewayConditions(gateway, VIEW);
  return `${condition?.type} ${condition?.status} ${condition?.message}`;
}

test("what of a Gateway has no effect is in its status", () => {
  assert.equal(accepted("mine", ""), "Accepted True accepted as a waypoint");
  assert.equal(
    accepted(
      "mine",
      'labels: { istio.io/waypoint-for: pods }, annotations: { ambient.istio.io/xfcc-include-client-identity: "yes" }',
    ),
    'Accepted True accepted as a waypoint; metadata.labels istio.io/waypoint-for "pods" is not known; it serves services; ' +
      'metadata.annotations ambient.istio.io/xfcc-include-client-identity "yes" is neither true nor false',
  );
});

test("a waypoint that people made tells what it is in force for, as long as callers are sent to it", () => {
  const since = "2026-01-01T00:00:00.000Z";
  const attached = [
    { carrier: "namespace shop", stage: "releasing", since },
    { carrier: "service shop/catalog", stage: "enforced", since },
    { carrier: "service shop/db", stage: "starting", since },
    { carrier: "service shop/old", stage: "unbinding", since },
  ];
  const record = JSON.stringify({ form: 1, deployment: "uid", bindings: [], attached });
  assert.equal(
    accepted("mine", `annotations: { ambit.io/binding: '${record}' }`),
    "Accepted True accepted as a waypoint; in force for namespace shop, service shop/catalog",
  );
});

test("a record that cannot be read is told once", () => {
  const told = accepted("ambit-waypoint", 'annotations: { ambit.io/binding: "{" }');
  assert.equal(told.split("ambit.io/binding").length, 2, told);
  assert.match(told, /made anew/);
});
