/** Nobody gets around a waypoint, speaks for it, or makes it believe what only its callers say. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { kindPath, POD } from "#core/k8s/kinds.ts";
import { eventually } from "../framework/eventually.ts";
import { type Forger, forger } from "../framework/forgery.ts";
import { ITEMS_POLICY } from "../framework/l7-policies.ts";
import {
  accessLog,
  ArrivalWatch,
  asked,
  type L7Shop,
  openL7Shop,
  REFUSED,
  theWaypoint,
} from "../framework/l7-shop.ts";
import { type Mesh, meshUp } from "../framework/mesh.ts";
import { callersOf, serveEcho } from "../framework/tcp-moves.ts";
import { knock, tunnelled, type TlsCredentials } from "../framework/tunnel-moves.ts";
import { containerLog, untilLogged } from "../framework/node-inside.ts";
import { applyYaml, type PodFacts, podManifest, runPod } from "../framework/pods.ts";
import { say } from "../framework/say.ts";
import { withHands } from "../framework/shop.ts";
import { AUTOMATIC, policyCondition, untilEnforced } from "../framework/waypoints.ts";
import { ztunnelOn } from "../framework/ztunnel-state.ts";

const HBONE = 15_008;
const GATEWAY_LABEL = "gateway.networking.k8s.io/gateway-name";
const SPIFFE = "spiffe://cluster.local/ns/shop/sa";

let mesh: Mesh;
let shop: L7Shop;
let waypoint: PodFacts;
let arrivals: ArrivalWatch;
let forge: Forger;

before(async () => {
  mesh = await meshUp();
  shop = await openL7Shop(mesh);
  for (let i = 0; i < 3; i++) assert.equal((await asked(shop.intruder, "/items/910")).status, 200);
  await applyYaml(mesh.client, ITEMS_POLICY);
  await untilEnforced(mesh.client, "shop", "items");
  waypoint = await theWaypoint(mesh);
  arrivals = new ArrivalWatch(mesh, shop.catalog);
  arrivals.begin();
  forge = await forger(mesh);
});
after(() => mesh?.down());

/** With a certificate of the mesh's own root. */
const as = (account: string): TlsCredentials => forge.forge({ uris: [`${SPIFFE}/${account}`] });
const catalogPort = (): string => `${shop.catalog.ipv4}:8080`;

test("by the pod's own addresses the same rules hold, and they are decided at the waypoint", async () => {
  for (const host of [shop.catalog.ipv4, shop.catalog.ipv6]) {
    assert.deepEqual(await asked(shop.frontend, "/items/911", { host, method: "POST" }), REFUSED);
    assert.equal((await asked(shop.frontend, "/items/912", { host })).status, 200);
    assert.deepEqual(await asked(shop.visitor, "/items/913", { host }), REFUSED);
  }
});

test("callers outside of the mesh that were let in before are counted and named in the policy's status", async () => {
  const condition = await eventually("they are named", async () => {
    const found = await policyCondition(mesh.client, { namespace: "shop", name: "items", type: "Enforced" });
    return found?.message.includes("intruder") === true ? found : undefined;
  });
  say(condition.message);
  assert.equal(condition.status, "True", "it is enforced all the same");
  assert.match(
    condition.message,
    /got in within the hour before \S+Z, .*street\/intruder \(\d+\).*enrol them/,
  );
});

test("who is not in the mesh is refused at the destination, with the reason", async () => {
  for (const host of ["catalog.shop", shop.catalog.ipv4, shop.catalog.ipv6])
    assert.equal((await asked(shop.intruder, "/items/914", { host })).status, 0, host);
  const ztunnel = await ztunnelOn(mesh, "n2");
  const line = await untilLogged(
    "the refusal",
    () => containerLog(mesh.node("n2"), ztunnel, "istio-proxy"),
    (l) => l["error"] !== undefined && String(l["src.addr"]).includes(shop.intruder.ipv4),
  );
  assert.equal(line["reason"], "not-through-waypoint", JSON.stringify(line));
});

test("the destination's tunnel port takes the waypoint alone, whatever other certificate of the mesh is shown", async () => {
  const target = { host: shop.catalog.ipv4, port: HBONE, authority: catalogPort() };
  for (const account of ["frontend", "default", "catalog", "waypoint", `${AUTOMATIC}-2`])
    assert.equal(await shop.intruder.hands.run(knock, target, as(account)), "401", account);
  const stolen = await shop.intruder.hands.run(knock, target, as(AUTOMATIC));
  assert.equal(
    stolen,
    "200",
    "whoever had the waypoint's own key would be the waypoint: this knock can be heard",
  );
});

test("the waypoint believes certificates, not forwarded, baggage or client-cert fields", async () => {
  const answer = await shop.intruder.hands.run(
    tunnelled,
    {
      host: waypoint.ipv4,
      port: HBONE,
      authority: catalogPort(),
      headers: {
        forwarded: `for=${shop.frontend.ipv4}`,
        baggage: "k8s.namespace.name=shop,k8s.deployment.name=frontend,service.name=frontend",
      },
      text: [
        "GET /items/915 HTTP/1.1",
        "host: catalog.shop:8080",
        `x-forwarded-client-cert: By=spiffe://x;URI=${SPIFFE}/frontend`,
        `x-forwarded-for: ${shop.frontend.ipv4}`,
        "connection: close",
        "",
        "",
      ].join("\r\n"),
    },
    as("default"),
  );
  assert.match(answer, /^200\|HTTP\/1\.1 403 /);
  const line = await eventually("its line", () =>
    accessLog(mesh, waypoint).findLast((l) => l["path"] === "/items/915"),
  );
  assert.equal(line["src.identity"], `${SPIFFE}/default`);
  assert.equal(line["policy"], "shop/no-visitors");
});

test("the waypoint goes nowhere but to what is bound to it", async () => {
  const rows: readonly (readonly [string, string])[] = [
    [`${shop.frontend.ipv4}:9090`, "404"],
    [`${shop.intruder.ipv4}:8080`, "404"],
    ["192.0.2.1:80", "404"],
    ["127.0.0.1:15000", "404"],
    [`${waypoint.ipv4}:${HBONE}`, "400"],
    [`${waypoint.ipv4}:15020`, "400"],
  ];
  for (const [authority, status] of rows) {
    const target = { host: waypoint.ipv4, port: HBONE, authority };
    assert.equal(await shop.intruder.hands.run(knock, target, as("frontend")), status, authority);
  }
});

test("the waypoint takes no caller without a certificate of the mesh", async () => {
  const target = { host: waypoint.ipv4, port: HBONE, authority: catalogPort() };
  for (const credentials of [{ ca: as("frontend").ca }, forge.foreign()])
    assert.match(await shop.intruder.hands.run(knock, target, credentials), /^refused /);
});

test("a foreign pod with the waypoint's label gets no traffic", async () => {
  const labels = { [GATEWAY_LABEL]: AUTOMATIC, "istio.io/dataplane-mode": "none" };
  const fake = await withHands(
    mesh,
    await runPod(mesh.client, { namespace: "shop", name: "fake", node: "n1", labels }),
  );
  await fake.hands.run(serveEcho, "fake", HBONE);
  await shop.load.begin();
  for (let i = 0; i < 20; i++) assert.equal((await asked(shop.frontend, "/items/916")).status, 200);
  await new Promise((resolve) => setTimeout(resolve, 1_500)); // some load
  await shop.load.expectNoFailure("beside a foreign pod with the label");
  assert.deepEqual(await fake.hands.run(callersOf, "fake"), []);
  await arrivals.expectEvaluated(waypoint);
});

test("a namespace's owner makes no pod under the waypoint's account", async () => {
  const borrowed = podManifest({
    namespace: "shop",
    name: "borrowed",
    node: "n1",
    serviceAccount: AUTOMATIC,
    labels: { [GATEWAY_LABEL]: AUTOMATIC },
  });
  const path = kindPath(POD, { namespace: "shop" });
  await assert.rejects(
    mesh.client.json({ method: "POST", path, body: borrowed }),
    /ValidatingAdmissionPolicy '[a-z-]*waypoint[a-z-]*'/,
  );
});

test("none of the refused requests has reached the application", async () => {
  const seen = await arrivals.expectEvaluated(waypoint);
  const forbidden = seen.filter(({ path }) => /\/items\/91[1345]/.test(path));
  assert.deepEqual(forbidden, []);
  assert.ok(
    seen.some(({ path }) => path === "/items/912"),
    "and the allowed ones have",
  );
});
