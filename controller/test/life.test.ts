/** The controller's own life: not ready before it knows everything, status by the leader alone, an end that is clean. */
import assert from "node:assert/strict";
import { afterEach, test } from "node:test";
import { setTimeout as pause } from "node:timers/promises";
import { jsonList, jsonObject, jsonText } from "#core/k8s/json-read.ts";
import { eventually, type Harness, policy, ROOTS, startHarness } from "./harness.ts";

const stops: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const stop of stops.splice(0).toReversed()) await stop();
});

async function harness(...args: Parameters<typeof startHarness>): Promise<Harness> {
  const made = await startHarness(...args);
  stops.push(() => made.stop());
  return made;
}

const ready = async (h: Harness): Promise<{ status: number; text: string }> => {
  const answer = await fetch(`http://127.0.0.1:${h.controller.ports().metrics}/ready`);
  return { status: answer.status, text: await answer.text() };
};
const conditions = (h: Harness, root: string, key: string): readonly Readonly<Record<string, unknown>>[] =>
  jsonList(jsonObject(h.api.get(root, key)?.["status"])["conditions"]).map(jsonObject);
const statusWrites = (h: Harness): number => h.api.requests.filter((r) => r.path.endsWith("/status")).length;

test("while one kind cannot be read it is not ready, serves nothing, and names the missing right", async () => {
  const h = await harness({
    unready: true,
    seed: (api) => {
      const reviews = api.intercept;
      api.intercept = (request) =>
        request.path === ROOTS.services ? { status: 403, body: { kind: "Status" } } : reviews(request);
    },
  });
  await eventually("the reason is logged", () =>
    h.log.some((line) => line.includes("missing RBAC rule: get, list, watch services")),
  );
  const answer = await ready(h);
  assert.equal(answer.status, 500);
  assert.match(answer.text, /inputs/);
  const health = await (await fetch(`http://127.0.0.1:${h.controller.ports().debug}/debug/health`)).text();
  assert.match(health, /missing RBAC rule/);
  h.api.intercept = () => undefined;
  await eventually("ready", () => h.controller.readiness.isReady());
  assert.equal((await ready(h)).status, 200);
});

test("a malformed CA secret is refused with its entry's name, and no key in the log", async () => {
  const h = await harness({
    unready: true,
    seed: (api) =>
      api.put(ROOTS.secrets, {
        metadata: { namespace: "istio-system", name: "istio-ca-secret" },
        data: Object.fromEntries(
          ["ca-cert.pem", "ca-key.pem", "root-cert.pem"].map((name) => [
            name,
            Buffer.from(`SECRETTEXT ${name}`).toString("base64"),
          ]),
        ),
      }),
  });
  await eventually("refused", () => h.log.some((line) => line.includes("CA secret refused")));
  assert.match((await ready(h)).text, /ca/);
  assert.ok(!h.log.some((line) => line.includes("SECRETTEXT")));
});

test("a CA secret that turns bad leaves the last good one in use", async () => {
  const h = await harness();
  const good = h.api.get(ROOTS.secrets, "istio-system/istio-ca-secret");
  h.api.put(ROOTS.secrets, {
    metadata: { namespace: "istio-system", name: "istio-ca-secret" },
    data: { "ca-cert.pem": "eA==", "ca-key.pem": "eA==" },
  });
  await eventually("refused", () => h.log.some((line) => line.includes("CA secret refused")));
  assert.equal((await ready(h)).status, 200);
  assert.ok(good !== undefined);
});

test("policies get their conditions once, with every field that has no effect", async () => {
  const h = await harness();
  h.api.put(ROOTS.authorizationPolicies, policy("shop", "fine", { rules: [{}] }));
  h.api.put(
    ROOTS.authorizationPolicies,
    policy("other", "l7", { rules: [{ to: [{ operation: { methods: ["GET"] } }] }] }),
  );
  h.api.put(ROOTS.authorizationPolicies, policy("shop", "audit", { action: "AUDIT" }));
  h.api.put(
    ROOTS.authorizationPolicies,
    policy("other", "targeted", { targetRefs: [{ kind: "Service", name: "catalog" }] }),
  );
  h.api.put(ROOTS.peerAuthentications, policy("shop", "strict", { mtls: { mode: "STRICT" } }));
  h.api.put(
    ROOTS.peerAuthentications,
    policy("istio-system", "selecting", { selector: { matchLabels: { a: "b" } }, mtls: { mode: "STRICT" } }),
  );
  const summary = (root: string, key: string): string =>
    conditions(h, root, key)
      .map((c) => `${jsonText(c["type"])} ${jsonText(c["status"])} ${jsonText(c["reason"])}`)
      .join();
  const expected: readonly (readonly [string, string, string])[] = [
    [ROOTS.authorizationPolicies, "shop/fine", "ZtunnelAccepted True Accepted"],
    [
      ROOTS.authorizationPolicies,
      "other/l7",
      "ZtunnelAccepted True UnsupportedValue,Enforced False NotEnrolled",
    ],
    [ROOTS.authorizationPolicies, "shop/audit", "ZtunnelAccepted False UnsupportedValue"],
    [
      ROOTS.authorizationPolicies,
      "other/targeted",
      "WaypointAccepted False TargetNotFound,Enforced False TargetNotFound",
    ],
    [ROOTS.peerAuthentications, "shop/strict", "ZtunnelAccepted True Accepted"],
    [ROOTS.peerAuthentications, "istio-system/selecting", "ZtunnelAccepted False UnsupportedValue"],
  ];
  for (const [root, key, text] of expected)
    await eventually(`${key}: ${summary(root, key)}`, () => summary(root, key) === text);
  const [l7] = conditions(h, ROOTS.authorizationPolicies, "other/l7");
  assert.match(jsonText(l7?.["message"]), /spec\.rules\[0\]\.to\[0\]\.operation\.methods/);
  assert.equal(l7?.["observedGeneration"], 1);
  const writes = statusWrites(h);
  await pause(200);
  assert.equal(statusWrites(h), writes, "our own writes cause no further ones");
  assert.equal(writes, expected.length);
});

test("a PeerAuthentication under an older one is said to have no effect, until the older one goes", async () => {
  const h = await harness();
  const strict = { selector: { matchLabels: {} }, mtls: { mode: "STRICT" } };
  const older = policy("shop", "older", { mtls: { mode: "PERMISSIVE" } });
  const younger = policy("shop", "younger", strict);
  const aged = (object: typeof older, creationTimestamp: string): typeof older => ({
    ...object,
    metadata: { ...jsonObject(object["metadata"]), creationTimestamp },
  });
  const state = (name: string): string => {
    const [condition] = conditions(h, ROOTS.peerAuthentications, `shop/${name}`);
    return `${jsonText(condition?.["status"])} ${jsonText(condition?.["message"])}`;
  };
  h.api.put(ROOTS.peerAuthentications, aged(younger, "2026-02-01T00:00:00Z"));
  await eventually("alone it is in force", () => state("younger") === "True attached to ztunnel");
  h.api.put(ROOTS.peerAuthentications, aged(older, "2026-01-01T00:00:00Z"));
  await eventually("said", () =>
    /^False spec has no effect: older is older and covers the same workloads$/.test(state("younger")),
  );
  await eventually("the older one rules", () => state("older") === "True attached to ztunnel");
  h.api.remove(ROOTS.peerAuthentications, "shop/older");
  await eventually("in force again", () => state("younger") === "True attached to ztunnel");
});

test("a replica that does not lead writes nothing but its own lease", async () => {
  const h = await harness({
    unready: true,
    seed: (api) => {
      api.put(ROOTS.leases, {
        metadata: { namespace: "istio-system", name: "ambit-controller-leader" },
        spec: { holderIdentity: "another", leaseDurationSeconds: 15 },
      });
      api.put(ROOTS.authorizationPolicies, policy("shop", "p", { rules: [{}] }));
    },
  });
  await eventually("inputs are known", () => h.controller.readiness.pending().join() === "ca");
  await pause(100);
  const writes = h.api.requests.filter((r) => r.method === "PATCH" || r.method === "PUT");
  assert.deepEqual(
    [...new Set(writes.map((r) => jsonText(jsonObject(r.body?.["metadata"])["name"])))],
    ["ambit-replica-controller-0"],
  );
});

test("stopping gives the lease back and leaves no watch", async () => {
  const h = await harness();
  await h.controller.stop();
  const spec = jsonObject(h.api.get(ROOTS.leases, "istio-system/ambit-controller-leader")?.["spec"]);
  assert.equal(spec["holderIdentity"], "");
  await eventually("no watch is open", () => h.api.watchCount === 0);
  await h.api.close();
  stops.length = 0;
});

test("debug endpoints: state, problems, and what a result was computed from", async () => {
  const h = await harness();
  h.api.put(
    ROOTS.authorizationPolicies,
    policy("shop", "p", { rules: [{ to: [{ operation: { paths: ["/x"] } }] }] }),
  );
  const get = async (path: string): Promise<string> =>
    (await fetch(`http://127.0.0.1:${h.controller.ports().debug}${path}`)).text();
  let problems = "";
  for (let i = 0; i < 200 && !problems.includes("paths"); i++) problems = await get("/debug/problems");
  assert.match(problems, /operation\.paths/);
  const state = JSON.parse(await get("/debug/ambientz")) as Record<string, { name: string }[]>;
  assert.ok(state["workloads"]?.some((w) => w.name === "catalog"));
  assert.ok(state["services"]?.some((s) => s.name === "catalog"));
  assert.ok(state["policies"]?.some((p) => p.name === "p"));
  assert.match(await get("/debug/explain?collection=workloads&key=shop/catalog"), /selector policies: shop/);
  assert.match(
    await get("/debug/explain?collection=pods' waypoints&key=shop/catalog"),
    /services by namespace/,
  );
  assert.match(await get("/debug/collections"), /encoded addresses/);
  const foreign = await fetch(`http://127.0.0.1:${h.controller.ports().debug}/debug/ambientz`, {
    headers: { origin: "http://evil" },
  });
  assert.equal(foreign.status, 403);
});
