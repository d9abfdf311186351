/** One waypoint after another in a whole controller: what sources and destinations are told, in which order, and what stays when the next one never comes. */
import assert from "node:assert/strict";
import { afterEach, test } from "node:test";
import { jsonList, jsonObject, jsonText } from "#core/k8s/json-read.ts";
import { kubeClientFor } from "#core/k8s/load-config.ts";
import { ANNOTATION_BINDING } from "#core/model/waypoint.ts";
import { TYPE_URL_ADDRESS } from "#core/model/well-known.ts";
import { silentLogger } from "#core/runtime/log.ts";
import { decodeAddress } from "#core/wire/address-codec.ts";
import type { XdsUpdate } from "#core/xds/delta-client.ts";
import { type Controller, startController } from "../app.ts";
import { parseRecord } from "../waypoints/gateway/waypoint-record.ts";
import { eventually, type Harness, namespace, ROOTS, startHarness, testConfig } from "./harness.ts";
import {
  CATALOG,
  connectObserver,
  connectWaypoint,
  DEPLOYMENTS,
  endDeployment,
  GATEWAYS,
  orphanPod,
  type Proxy,
  runDeployment,
  WAYPOINT_KEY,
} from "./waypoint-mesh.ts";

const ENV = { AMBIT_WAYPOINT_DRAIN: "50ms", AMBIT_WAYPOINT_GRACE: "50ms" };
const SERVICE = "shop/catalog.shop.svc.cluster.local";
const NO_POST = {
  targetRefs: [{ group: "", kind: "Service", name: "catalog" }],
  action: "DENY",
  rules: [{ to: [{ operation: { methods: ["POST"] } }] }],
};
const stops: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const stop of stops.splice(0).toReversed()) await stop();
});

function kept<T extends { disconnect(): Promise<void> }>(proxy: T): T {
  stops.push(() => proxy.disconnect());
  return proxy;
}

async function harness(): Promise<Harness> {
  const h = await startHarness({ env: ENV });
  stops.push(() => h.stop());
  h.api.put(ROOTS.authorizationPolicies, {
    metadata: { namespace: "shop", name: "no-post", generation: 1 },
    spec: NO_POST,
  });
  return h;
}

/** Where the service's callers are sent, and who may come to its pod, such as `auto !own`: nobody but the automatic one and `own`. */
interface Seen {
  readonly via: string | undefined;
  readonly refuses: string | undefined;
}

function look(known: Seen, { typeUrl, resources }: XdsUpdate): Seen {
  const told = typeUrl === TYPE_URL_ADDRESS ? resources : [];
  return told
    .filter(({ name }) => name === CATALOG || name === SERVICE)
    .reduce((next, { body }) => ({ ...next, ...lookAt(body) }), known);
}

function lookAt(body: Parameters<typeof decodeAddress>[0]): Partial<Seen> {
  const decoded = decodeAddress(body);
  if (!decoded.ok) return {};
  if (decoded.value.kind === "service") {
    const destination = decoded.value.service.waypoint?.destination;
    const hostname = destination?.kind === "hostname" ? destination.name.hostname : "";
    return { via: hostname.replace(/\..*/, "").replace("ambit-waypoint", "auto") };
  }
  const { authorizationPolicies } = decoded.value.workload;
  const denies = authorizationPolicies.find((one) => one.includes("only_through"));
  return { refuses: denies === undefined ? "" : `!${denies.replace(/^.*_waypoint/, "")}` };
}

type Ztunnel = Proxy<Seen>;

function ztunnels(h: Harness, controller: Controller = h.controller): readonly Ztunnel[] {
  const first: Seen = { via: undefined, refuses: undefined };
  return [1, 2].map((n) =>
    kept(connectObserver({ h, controller }, n, { first, learn: look, refuse: () => [] })),
  );
}

/** From the first state on of which service and pod were told (services come first), the one before policy or label left out. */
const path = (seen: readonly Seen[]): string =>
  seen
    .flatMap(({ via, refuses }) =>
      via === undefined || refuses === undefined ? [] : [`${via}${refuses}` || "-"],
    )
    .join(" ")
    .replace(/^- (?=.)/, "");

async function expectPath(list: readonly Ztunnel[], wanted: string): Promise<void> {
  for (const { seen } of list)
    await eventually(`${path(seen)} is ${wanted}`, () => path(seen) === wanted).catch(() =>
      assert.equal(path(seen), wanted),
    );
}

function label(h: Harness, waypoint: string | undefined): void {
  const chosen = waypoint === undefined ? {} : { "istio.io/use-waypoint": waypoint };
  h.api.put(ROOTS.namespaces, namespace("shop", { "istio.io/dataplane-mode": "ambient", ...chosen }));
}

function makeGateway({ api }: Harness, name: string): void {
  const spec = {
    gatewayClassName: "istio-waypoint",
    listeners: [{ name: "mesh", port: 15_008, protocol: "HBONE" }],
  };
  api.put(GATEWAYS, { metadata: { namespace: "shop", name, uid: `uid-gateway-${name}` }, spec });
}

async function runs(h: Harness, name?: string, controller: Controller = h.controller): Promise<Proxy> {
  await eventually(`pods of ${name ?? "the automatic one"} run`, () => runDeployment(h, name));
  return kept(connectWaypoint({ h, controller }, name));
}

function record({ api }: Harness, name: string): string {
  const annotations = jsonObject(jsonObject(api.get(GATEWAYS, `shop/${name}`)?.["metadata"])["annotations"]);
  const read = parseRecord(jsonText(annotations[ANNOTATION_BINDING]));
  if (!read.ok) return "";
  const { bindings, attached = [] } = read.value;
  return [...bindings, ...attached].map(({ stage }) => stage).join();
}

function condition({ api }: Harness, list: string, key: string, type: string): string {
  const found = jsonList(jsonObject(api.get(list, key)?.["status"])["conditions"])
    .map(jsonObject)
    .find((one) => one["type"] === type);
  return found === undefined
    ? ""
    : `${jsonText(found["status"])} ${jsonText(found["reason"])} ${jsonText(found["message"])}`;
}

const enforced = (h: Harness): string =>
  condition(h, ROOTS.authorizationPolicies, "shop/no-post", "Enforced");
const bound = (h: Harness): string => condition(h, ROOTS.services, "shop/catalog", "istio.io/WaypointBound");

async function untilEnforcedBy(h: Harness, name: string): Promise<void> {
  const wanted = `True Enforced waypoint shop/${name} `;
  await eventually(`enforced by ${name}: ${enforced(h)}`, () => enforced(h).startsWith(wanted)).catch(() =>
    assert.equal(enforced(h), wanted),
  );
}

test("the automatic one, an explicit one, another explicit one, the automatic one again: at no moment none", async () => {
  const h = await harness();
  const all = ztunnels(h);
  await runs(h);
  await untilEnforcedBy(h, "ambit-waypoint");
  const began = "auto auto!";
  await expectPath(all, began);

  makeGateway(h, "own");
  label(h, "own");
  await eventually(`said: ${bound(h)}`, () =>
    /^False WaypointIsNotReady .*shop\/ambit-waypoint goes on/.test(bound(h)),
  );
  await eventually(`said: ${enforced(h)}`, () =>
    /^False .*shop\/own.*shop\/ambit-waypoint goes on/.test(enforced(h)),
  );
  await expectPath(all, began);
  assert.equal(record(h, "ambit-waypoint"), "enforced");
  await runs(h, "own");
  await untilEnforcedBy(h, "own");
  const taken = `${began} auto!_own.shop own!_own.shop own`;
  await expectPath(all, taken);
  await eventually("the automatic one goes", () => h.api.get(DEPLOYMENTS, WAYPOINT_KEY) === undefined);
  orphanPod(h);
  endDeployment(h);
  await eventually("with its Gateway", () => h.api.get(GATEWAYS, WAYPOINT_KEY) === undefined);
  await expectPath(all, taken);

  makeGateway(h, "second");
  label(h, "second");
  await eventually(`said: ${bound(h)}`, () => /^False .*shop\/own goes on/.test(bound(h)));
  await runs(h, "second");
  await untilEnforcedBy(h, "second");
  await expectPath(all, `${taken} second`);
  await eventually(`own has let go: ${record(h, "own")}`, () => record(h, "own") === "");

  label(h, undefined);
  await eventually("pods of the automatic one", () => runDeployment(h));
  assert.equal(record(h, "second"), "enforced", "until the automatic one enforces");
  kept(connectWaypoint({ h, controller: h.controller }));
  await untilEnforcedBy(h, "ambit-waypoint");
  await eventually(`second has let go: ${record(h, "second")}`, () => record(h, "second") === "");
  await expectPath(all, `${taken} second auto auto!_second.shop auto!`);
});

test("a label that names what is not there: the one before goes on, and that is said", async () => {
  const h = await harness();
  const all = ztunnels(h);
  await runs(h);
  await untilEnforcedBy(h, "ambit-waypoint");
  label(h, "onw");
  await eventually(`said: ${bound(h)}`, () =>
    /^False WaypointNotFound there is no Gateway shop\/onw .*; meanwhile waypoint shop\/ambit-waypoint goes on/.test(
      bound(h),
    ),
  );
  await eventually(`said: ${enforced(h)}`, () =>
    /^False TargetNotFound there is no Gateway shop\/onw .*; meanwhile waypoint shop\/ambit-waypoint goes on/.test(
      enforced(h),
    ),
  );
  await expectPath(all, "auto auto!");
  assert.equal(record(h, "ambit-waypoint"), "enforced");
  label(h, undefined);
  await untilEnforcedBy(h, "ambit-waypoint");
  await expectPath(all, "auto auto!");
});

test("with nothing before it, a waypoint that is not there is waited for, and not gone around", async () => {
  const h = await harness();
  label(h, "own");
  const all = ztunnels(h);
  await expectPath(all, "own");
  await eventually(`said: ${bound(h)}`, () => bound(h).startsWith("False WaypointNotFound"));
  makeGateway(h, "own");
  await runs(h, "own");
  await untilEnforcedBy(h, "own");
  label(h, undefined);
  await runs(h);
  await untilEnforcedBy(h, "ambit-waypoint");
  await expectPath(all, "own auto auto!_own.shop auto!");
});

test("the next controller goes on where the last one ended, in the middle of a takeover", async () => {
  const h = await harness();
  const before = ztunnels(h);
  await runs(h);
  await untilEnforcedBy(h, "ambit-waypoint");
  makeGateway(h, "own");
  label(h, "own");
  await eventually("it is recorded", () => record(h, "own") === "starting");
  await eventually("pods of own run", () => runDeployment(h, "own"));
  await h.controller.stop();
  await expectPath(before, "auto auto!");
  const second = await startController(testConfig({ ...ENV, POD_NAME: "controller-1" }), {
    client: kubeClientFor({ server: h.api.url }),
    log: silentLogger,
  });
  stops.push(() => second.stop());
  await eventually("ready", () => second.readiness.isReady());
  const all = ztunnels(h, second);
  await expectPath(all, "auto!");
  kept(connectWaypoint({ h, controller: second }));
  kept(connectWaypoint({ h, controller: second }, "own"));
  await untilEnforcedBy(h, "own");
  await expectPath(all, "auto! auto!_own.shop own!_own.shop own");
});
