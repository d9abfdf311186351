/** Two whole controllers: orders as proxies see them, wherever each is connected, and what holds when one is cut off or comes back. */
import assert from "node:assert/strict";
import { afterEach, test } from "node:test";
import { connect, type TLSSocket } from "node:tls";
import { jsonList, jsonObject, jsonText } from "#core/k8s/json-read.ts";
import { ANNOTATION_BINDING } from "#core/model/waypoint.ts";
import type { Stage } from "../waypoints/binding/binding.ts";
import { parseRecord } from "../waypoints/gateway/waypoint-record.ts";
import { eventually, policy, ROOTS, startHarness } from "./harness.ts";
import { quickClock, type ReplicaMesh, type ReplicaName, type Road, startReplicas } from "./replica-mesh.ts";
import {
  connectWaypoint,
  connectZtunnel,
  DEPLOYMENTS,
  endDeployment,
  GATEWAYS,
  type Known,
  orphanPod,
  type Proxy,
  runDeployment,
  WAYPOINT_KEY,
} from "./waypoint-mesh.ts";

const ENV = { AMBIT_WAYPOINT_DRAIN: "50ms", AMBIT_WAYPOINT_GRACE: "50ms" };
const stops: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const stop of stops.splice(0).toReversed()) await stop();
});

interface Fixture {
  readonly mesh: ReplicaMesh;
  readonly ztunnels: readonly Proxy[];
  /** To where each ztunnel, and the waypoint, is connected. */
  readonly roads: Road[];
}

/** A ztunnel at each replica. */
async function fixture(): Promise<Fixture> {
  const mesh = await startReplicas(ENV);
  stops.push(() => mesh.stop());
  const { h } = mesh;
  h.api.put(
    ROOTS.authorizationPolicies,
    policy("shop", "no-visitors", {
      action: "DENY",
      rules: [{ from: [{ source: { principals: ["cluster.local/ns/shop/sa/visitor"] } }] }],
    }),
  );
  const roads = await Promise.all([mesh.road("a"), mesh.road("b")]);
  const ztunnels = roads.map(({ controller }, i) => connectZtunnel({ h, controller }, i + 1));
  for (const one of ztunnels) stops.push(() => one.disconnect());
  for (const one of ztunnels)
    await eventually("ztunnels know the mesh", () => one.client.status().acknowledged.length === 2);
  return { mesh, ztunnels, roads };
}

function applyItems({ mesh }: Fixture): void {
  mesh.h.api.put(
    ROOTS.authorizationPolicies,
    policy("shop", "items", {
      selector: { matchLabels: { app: "catalog" } },
      rules: [{ to: [{ operation: { methods: ["GET"] } }] }],
    }),
  );
}

async function withWaypoint({ mesh, roads }: Fixture, at: ReplicaName): Promise<Proxy> {
  const { h } = mesh;
  await eventually("pods run", () => runDeployment(h));
  const road = await mesh.road(at);
  const waypoint = connectWaypoint({ h, controller: road.controller });
  stops.push(() => waypoint.disconnect());
  roads.push(road);
  return waypoint;
}

function stages({ mesh }: Fixture): string {
  const gateway = mesh.h.api.get(GATEWAYS, WAYPOINT_KEY);
  const annotations = jsonObject(jsonObject(gateway?.["metadata"])["annotations"]);
  const record = parseRecord(jsonText(annotations[ANNOTATION_BINDING]));
  return record.ok ? record.value.bindings.map(({ stage }) => stage).join() : "";
}

function enforced({ mesh }: Fixture): string {
  const status = jsonObject(mesh.h.api.get(ROOTS.authorizationPolicies, "shop/items")?.["status"]);
  const found = jsonList(status["conditions"])
    .map(jsonObject)
    .find(({ type }) => type === "Enforced");
  return `${jsonText(found?.["status"])} ${jsonText(found?.["message"])}`;
}

const letters = (seen: readonly Known[]): string =>
  seen
    .map(
      ({ exempts, binds, denies }) => `${exempts ? "e" : ""}${binds ? "b" : ""}${denies ? "d" : ""}` || "-",
    )
    .join(" ");

/** Where clients come out that look for the controller: at a replica that lives. */
function moveTo(name: ReplicaName, { roads }: Fixture): void {
  for (const road of roads) road.move(name);
}

const cutOff = ({ mesh }: Fixture): ReplicaName | undefined =>
  (["a", "b"] as const).find((name) => mesh.isCutOff(name));

function leader({ mesh }: Fixture): ReplicaName {
  const lease = mesh.h.api.get(ROOTS.leases, "istio-system/ambit-controller-leader");
  return jsonText(jsonObject(lease?.["spec"])["holderIdentity"]) === "controller-b" ? "b" : "a";
}

const other = (name: ReplicaName): ReplicaName => (name === "a" ? "b" : "a");

async function removeItems(f: Fixture): Promise<void> {
  const { h } = f.mesh;
  h.api.remove(ROOTS.authorizationPolicies, "shop/items");
  await eventually(
    `its Deployment goes: ${stages(f)}`,
    () => h.api.get(DEPLOYMENTS, WAYPOINT_KEY) === undefined,
  );
  orphanPod(h);
  endDeployment(h);
  await eventually("the Gateway goes", () => h.api.get(GATEWAYS, WAYPOINT_KEY) === undefined);
}

test("ztunnels at two replicas see every stage of a policy's coming and going, in order", async () => {
  const f = await fixture();
  applyItems(f);
  await withWaypoint(f, "b");
  await eventually(`Enforced: ${enforced(f)}`, () => enforced(f).startsWith("True"));
  for (const { seen } of f.ztunnels) assert.equal(letters(seen), "- e eb ebd");
  await removeItems(f);
  for (const { seen } of f.ztunnels)
    await eventually(`exemptions go: ${letters(seen)}`, () => letters(seen) === "- e eb ebd eb e -");
});

test(
  "whoever leads is lost after each of its steps: the other goes on, and no proxy is taken back",
  { timeout: 120_000 },
  async () => {
    const f = await fixture();
    const { mesh, ztunnels } = f;
    const away: Stage[] = ["exempting", "binding", "denying"];
    const back: Stage[] = ["releasing", "lifting", "unbinding"];
    const comesBack = async (): Promise<void> => {
      const lost = cutOff(f);
      assert.ok(lost !== undefined);
      mesh.heal(lost);
      await eventually(`${lost} serves again`, () => mesh.controllers[lost].readiness.isReady());
    };
    const isLost = async (): Promise<void> => {
      await eventually("a leader is lost", () => cutOff(f) !== undefined);
      moveTo(other(cutOff(f) ?? "a"), f);
    };
    let seen = "-";
    for (const [i, stage] of away.entries()) {
      mesh.cutOffAfter(stage);
      applyItems(f);
      const waypoint = await withWaypoint(f, leader(f));
      await isLost();
      await eventually(`Enforced after ${stage}: ${enforced(f)}`, () => enforced(f).startsWith("True"));
      await comesBack();
      mesh.cutOffAfter(back[i] ?? "releasing");
      const removed = removeItems(f);
      await isLost();
      await removed;
      await comesBack();
      await waypoint.disconnect();
      seen += " e eb ebd eb e -";
      for (const one of ztunnels)
        await eventually(`seen: ${letters(one.seen)}`, () => letters(one.seen) === seen);
    }
  },
);

test("a replica that is cut off ends what it serves and takes nobody, until it has read everything anew", async () => {
  const f = await fixture();
  const { mesh, ztunnels, roads } = f;
  const [, second] = ztunnels;
  applyItems(f);
  await withWaypoint(f, "a");
  await eventually(`Enforced: ${enforced(f)}`, () => enforced(f).startsWith("True"));
  mesh.cutOff("b");
  const isConnected = (): boolean => second?.client.status().connected === true;
  await eventually("its ztunnel is sent away", () => !isConnected());
  await eventually("not ready", () => mesh.controllers.b.readiness.pending().join() === "replicas");
  mesh.h.api.remove(ROOTS.authorizationPolicies, "shop/items");
  await eventually(`waits: ${stages(f)}`, () => stages(f) === "releasing");
  assert.equal(letters(second?.seen ?? []), "- e eb ebd");
  assert.ok(!isConnected(), "nobody is let in");
  roads[1]?.move("a");
  await eventually(`goes on: ${stages(f)}`, () => mesh.h.api.get(DEPLOYMENTS, WAYPOINT_KEY) === undefined);
  mesh.heal("b");
  roads[1]?.move("b");
  await eventually("ready again", () => mesh.controllers.b.readiness.isReady());
  await eventually("serves again", isConnected);
  orphanPod(mesh.h);
  endDeployment(mesh.h);
  for (const { seen } of ztunnels)
    await eventually(`not taken back: ${letters(seen)}`, () => letters(seen) === "- e eb ebd eb e -");
});

test("what a ztunnel of a replica that does not lead refuses is said in the policy's status", async () => {
  const f = await fixture();
  const { h } = f.mesh;
  const road = await f.mesh.road(other(leader(f)));
  await f.ztunnels[1]?.disconnect();
  const refusing = connectZtunnel({ h, controller: road.controller }, 2, ({ resources }) =>
    resources.some(({ name }) => name === "shop/odd") ? [{ name: "shop/odd", reason: "cannot be read" }] : [],
  );
  stops.push(() => refusing.disconnect());
  h.api.put(ROOTS.authorizationPolicies, policy("shop", "odd", { rules: [{}] }));
  await eventually("said", () =>
    JSON.stringify(h.api.get(ROOTS.authorizationPolicies, "shop/odd")?.["status"] ?? "").includes(
      "RefusedByZtunnel",
    ),
  );
});

test("while nothing changes leases are renewed and nothing else is written; a transition costs few writes", async (t) => {
  const f = await fixture();
  const { mesh } = f;
  const count = (): number => mesh.writes("a").length + mesh.writes("b").length;
  const before = count();
  applyItems(f);
  await withWaypoint(f, "b");
  await eventually(`Enforced: ${enforced(f)}`, () => enforced(f).startsWith("True"));
  const reports = (name: ReplicaName): readonly string[] =>
    mesh
      .writes(name)
      .filter(({ path }) => path.includes(`ambit-replica-controller-${name}`))
      .map(({ body }) =>
        jsonText(jsonObject(jsonObject(body?.["metadata"])["annotations"])["ambit.io/replica"]),
      );
  const distinct = (["a", "b"] as const).map((name) => new Set(reports(name)).size);
  t.diagnostic(`until Enforced: ${count() - before} writes, distinct reports ${distinct.join(" and ")}`);
  assert.ok(
    distinct.every((n) => n > 3 && n < 20),
    `distinct reports: ${distinct.join()}`,
  );
  // Statuses are written after the last stage, and are news as well.
  const rests = (all: readonly string[]): boolean => new Set(all.slice(-3)).size === 1;
  await eventually("rest", () => rests(reports("a")) && rests(reports("b")));
  const [lastA, lastB] = [reports("a").at(-1), reports("b").at(-1)];
  const [renewedA, renewedB] = [reports("a").length, reports("b").length];
  await eventually(
    "renewals",
    () => reports("a").length > renewedA + 2 && reports("b").length > renewedB + 2,
  );
  assert.deepEqual(new Set(reports("a").slice(renewedA)), new Set([lastA]));
  assert.deepEqual(new Set(reports("b").slice(renewedB)), new Set([lastB]));
});

test("replicas that begin together have one root, and what either signs the other's clients trust", async () => {
  const { mesh } = await fixture();
  const roots = mesh.h.rootsPem();
  for (const name of ["a", "b"] as const) {
    const socket = await new Promise<TLSSocket>((resolve, reject) => {
      const made = connect({
        host: "localhost",
        port: mesh.controllers[name].ports().grpc,
        ca: roots,
        servername: "istiod.istio-system.svc",
        ALPNProtocols: ["h2"],
      });
      made.once("secureConnect", () => resolve(made));
      made.once("error", reject);
    });
    assert.ok(socket.authorized);
    socket.destroy();
  }
  const made = [...mesh.writes("a"), ...mesh.writes("b")].filter(({ path }) => path.includes("/secrets/"));
  assert.equal(made.length, 1);
});

test("alone, a controller that is cut off serves on: nobody knows more", async () => {
  let isAway = false;
  const h = await startHarness({
    clock: quickClock,
    seed: (api) => {
      const reviews = api.intercept;
      api.intercept = (request) => (isAway ? { status: 503, body: {} } : reviews(request));
    },
  });
  stops.push(() => h.stop());
  const ztunnel = connectZtunnel({ h, controller: h.controller }, 1);
  stops.push(() => ztunnel.disconnect());
  await eventually("connected", () => ztunnel.client.status().acknowledged.length === 2);
  isAway = true;
  h.api.breakWatches();
  const failures = (): number => h.log.filter((line) => line.includes("lease not renewed")).length;
  await eventually("its lease has lapsed", () => failures() > 20);
  assert.ok(h.controller.readiness.isReady());
  assert.ok(ztunnel.client.status().connected);
  isAway = false;
  await eventually("it reads everything anew", () => h.log.some((line) => line.includes("read anew")));
  await eventually("serves", () => h.controller.readiness.isReady());
  assert.ok(ztunnel.client.status().connected);
});
