/** What changes while a workload is bound: policies, ports, parts of the mesh. Nothing gets through in between, seen from the application's own log. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { DEPLOYMENT, kindPath, POD } from "#core/k8s/kinds.ts";
import { ANNOTATION_BINDING } from "#core/model/waypoint.ts";
import { everybodyForbidden, forbidden, underAttack } from "../framework/attack.ts";
import { eventually } from "../framework/eventually.ts";
import { type Forger, forger } from "../framework/forgery.ts";
import { ITEMS_POLICY } from "../framework/l7-policies.ts";
import {
  ArrivalWatch,
  asked,
  type L7Shop,
  openL7Shop,
  REFUSED,
  removeYaml,
  theWaypoint,
} from "../framework/l7-shop.ts";
import { loadBetween } from "../framework/load.ts";
import { type Mesh, meshUp, seconds } from "../framework/mesh.ts";
import { knock } from "../framework/tunnel-moves.ts";
import { killContainer } from "../framework/node-inside.ts";
import { aroundAdmission, whileNoController } from "../framework/outages.ts";
import { applyYaml, removePod, runPod } from "../framework/pods.ts";
import { say } from "../framework/say.ts";
import { withHands } from "../framework/shop.ts";
import { ask, call, callersOf, callMany, endOf, open, serveEcho } from "../framework/tcp-moves.ts";
import {
  AUTOMATIC,
  bindingStages,
  gatewaysOf,
  gatewaysPath,
  policyCondition,
  untilEnforced,
} from "../framework/waypoints.ts";
import { ztunnelOn } from "../framework/ztunnel-state.ts";

let mesh: Mesh;
let shop: L7Shop;
let arrivals: ArrivalWatch;

before(async () => {
  mesh = await meshUp();
  shop = await openL7Shop(mesh);
  await applyYaml(mesh.client, ITEMS_POLICY);
  await untilEnforced(mesh.client, "shop", "items");
  arrivals = new ArrivalWatch(mesh, shop.catalog);
});
after(() => mesh?.down());

const attacked = (change: () => Promise<unknown>): Promise<void> =>
  underAttack({ shop, arrivals }, everybodyForbidden(shop), change);

test("a selector that is widened and narrowed again: what was enforced stays enforced all the while", () =>
  attacked(async () => {
    const wide = ITEMS_POLICY.replace(
      "selector: { matchLabels: { app: catalog } }",
      "selector: { matchLabels: {} }",
    );
    assert.notEqual(wide, ITEMS_POLICY);
    for (const policy of [wide, ITEMS_POLICY]) {
      await applyYaml(mesh.client, policy);
      await eventually("the new binding comes", async () =>
        (await bindingStages(mesh.client, "shop", AUTOMATIC)).length > 1 ? true : undefined,
      );
      const took = await untilEnforced(mesh.client, "shop", "items");
      say(`another selector: enforced after ${took.toFixed(1)} s`);
    }
  }));

/** Only what was under way may fail, visibly: nobody is refused meanwhile, and nothing arrives but from the waypoint. */
async function ztunnelKilled(nodeName: string, back: () => Promise<unknown>): Promise<void> {
  const before = await shop.load.stats();
  await attacked(async () => {
    const ztunnel = await ztunnelOn(mesh, nodeName);
    const began = performance.now();
    killContainer(mesh.node(nodeName), ztunnel.uid, "istio-proxy");
    await back();
    say(`ztunnel of ${nodeName} killed: requests passed ${seconds(began)} s later`);
  });
  await shop.load.begin(); // once nothing waits any more
  const now = await shop.load.stats();
  const { tried, failed, held, retried } = loadBetween(before, now);
  say(`ztunnel of ${nodeName} killed: ${failed} failures of ${tried}, ${held} held, ${retried} retried`);
  const broken = Object.keys(now.reasons).filter((r) => (now.reasons[r] ?? 0) > (before.reasons[r] ?? 0));
  for (const reason of broken) assert.match(reason, /: (ECONNRESET|EPIPE|socket hang up|status 503)$/);
  await arrivals.expectEvaluated(await theWaypoint(mesh), { inLog: false });
}

test("the destination's ztunnel is killed: the next one refuses from its first connection on", () =>
  ztunnelKilled("n2", () =>
    eventually("allowed requests pass again", async () =>
      (await asked(shop.frontend, "/items/7701")).status === 200 ? true : undefined,
    ),
  ));

test("the source's ztunnel is killed: the next one goes through the waypoint from its first connection on", () =>
  ztunnelKilled("n1", () =>
    eventually("judged again", async () => {
      const answer = await asked(shop.frontend, forbidden(7), { method: "POST" });
      return answer.status === REFUSED.status ? true : undefined;
    }),
  ));

test("the waypoint's Deployment is deleted by hand: callers wait or are refused, and it comes back by itself", () =>
  attacked(async () => {
    const old = await theWaypoint(mesh);
    const began = performance.now();
    await mesh.client.json({
      method: "DELETE",
      path: kindPath(DEPLOYMENT, { namespace: "shop", name: AUTOMATIC }),
      body: { propagationPolicy: "Background" },
    });
    await eventually("another waypoint", async () =>
      (await theWaypoint(mesh)).uid !== old.uid ? true : undefined,
    );
    await eventually("allowed requests pass again", async () =>
      (await asked(shop.frontend, "/items/7701")).status === 200 ? true : undefined,
    );
    say(`Deployment deleted: allowed requests passed ${seconds(began)} s later`);
  }));

test("a port that is called TCP for a while is HTTP again with its policies", () =>
  attacked(async () => {
    const rename = (name: string): Promise<unknown> =>
      mesh.client.json({
        method: "PATCH",
        path: "/api/v1/namespaces/shop/services/catalog",
        contentType: "application/json-patch+json",
        body: [{ op: "replace", path: "/spec/ports/0/name", value: name }],
      });
    await rename("tcp");
    await eventually("as TCP an ALLOW of HTTP alone lets nobody in", async () =>
      (await asked(shop.frontend, "/items/7702")).status === 0 ? true : undefined,
    );
    await rename("http");
    await eventually("as HTTP it is judged again", async () =>
      (await asked(shop.frontend, "/items/7703")).status === 200 ? true : undefined,
    );
  }));

test("the record of what is bound is damaged while no controller runs: the next one closes what policies are about, and makes it anew", () =>
  attacked(async () => {
    await whileNoController(mesh, () =>
      aroundAdmission(mesh.client, () =>
        mesh.client.json({
          method: "PATCH",
          path: `${gatewaysPath("shop")}/${AUTOMATIC}`,
          contentType: "application/merge-patch+json",
          body: { metadata: { annotations: { [ANNOTATION_BINDING]: '{"form":2}' } } },
        }),
      ),
    );
    await enforcedAnew();
    const [gateway] = await gatewaysOf(mesh.client, "shop");
    const told = gateway?.conditions.map(({ message }) => message).join("\n") ?? "";
    assert.match(told, /ambit\.io\/binding\) form is not known, and is made anew/);
  }));

test("the Gateway is deleted by hand: its pods stay closed, and it comes back", () =>
  attacked(async () => {
    const began = performance.now();
    await aroundAdmission(mesh.client, () =>
      mesh.client.json({ method: "DELETE", path: `${gatewaysPath("shop")}/${AUTOMATIC}` }),
    );
    await enforcedAnew();
    await eventually("allowed requests pass again", async () =>
      (await asked(shop.frontend, "/items/7701")).status === 200 ? true : undefined,
    );
    say(`Gateway deleted: allowed requests passed ${seconds(began)} s later`);
  }));

async function enforcedAnew(): Promise<void> {
  await eventually(
    "recorded and enforced",
    async () =>
      (await bindingStages(mesh.client, "shop", AUTOMATIC)).join() === "enforced" ? true : undefined,
    60_000,
  );
  await untilEnforced(mesh.client, "shop", "items");
}

/** Of requests alone: what is left of it for a port that counts as TCP is that HTTP is refused. */
const TILL_POLICY = `
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: { name: till, namespace: shop }
spec:
  selector: { matchLabels: { app: till } }
  action: DENY
  rules: [{ to: [{ operation: { notMethods: [GET] } }] }]
`;
const KEPT = 7_000;
const JUDGED = 7_001;
const ENDED = /RESET|EPIPE|closed/;
const POST = "POST /till HTTP/1.1\r\nhost: till\r\ncontent-length: 0\r\n\r\n";

test("a port that is kept from the waypoint is direct before, while and after a policy comes into force, and the status names it", async () => {
  const till = await withHands(
    mesh,
    await runPod(mesh.client, { namespace: "shop", name: "till", node: "n2" }),
  );
  const host = till.ipv4;
  const annotate = (value: string | null): Promise<unknown> =>
    mesh.client.json({
      method: "PATCH",
      path: kindPath(POD, { namespace: "shop", name: "till" }),
      contentType: "application/merge-patch+json",
      body: { metadata: { annotations: { "ambit.io/waypoint-exclude-ports": value } } },
    });
  const replyOf = async (port: number, text: string): Promise<string> => {
    const answer = await shop.frontend.hands.run(call, host, port, text);
    return answer.kind === "ok" ? answer.reply : answer.code;
  };
  const becomes = (port: number, what: RegExp): Promise<boolean> =>
    eventually(`${port} answers ${what.source}`, async () => {
      const reply = await replyOf(port, POST);
      if (!what.test(reply)) throw new Error(reply);
      return true;
    });
  const callers = async (name: string): Promise<ReadonlySet<string>> =>
    new Set(await till.hands.run(callersOf, name));
  const status = async (): Promise<string> =>
    (await policyCondition(mesh.client, { namespace: "shop", name: "till", type: "Enforced" }))?.message ??
    "";

  await till.hands.run(serveEcho, "kept", KEPT);
  await till.hands.run(serveEcho, "judged", JUDGED);
  await annotate(String(KEPT));
  await shop.frontend.hands.run(open, "till", host, KEPT);
  const load = shop.frontend.hands.run(callMany, host, KEPT, "\0sale", 200, 50);
  await applyYaml(mesh.client, TILL_POLICY);
  await untilEnforced(mesh.client, "shop", "till");
  assert.equal(
    await shop.frontend.hands.run(ask, "till", "still"),
    "e:still",
    "the one from before is there",
  );
  assert.deepEqual(new Set(await load), new Set(["ok"]), "and every one while the policy came");
  assert.match(await replyOf(KEPT, POST), ENDED, "a DENY of requests alone refuses HTTP there as well");
  assert.equal(await replyOf(KEPT, "\0sale"), "e:\0sale");
  for (const peer of await callers("kept"))
    assert.ok(
      shop.frontend.ips.some((ip) => ip === peer),
      `${KEPT} was called by ${peer}`,
    );
  assert.match(await replyOf(JUDGED, POST), /^HTTP\/1\.1 403 /, "the next port is judged");
  assert.equal(await replyOf(JUDGED, "\0sale"), "e:\0sale");
  assert.deepEqual([...(await callers("judged"))], [(await theWaypoint(mesh)).ipv4]);
  assert.match(await status(), /spec\.rules\[0\] .*TCP ports 7000 \(by the annotation of pod shop\/till\)/);

  for (const value of [null, "7000;7001"]) {
    await annotate(value);
    await becomes(KEPT, /^HTTP\/1\.1 403 /);
    await annotate(String(KEPT));
    await becomes(KEPT, ENDED);
  }
  await annotate("7000;7001");
  await eventually("the annotation that cannot be read is named", async () =>
    /pod shop\/till: .*exclude-ports has "7000;7001"/.test(await status()) ? true : undefined,
  );
  assert.match(await shop.frontend.hands.run(endOf, "till"), /./, "what was direct has ended");
  await becomes(KEPT, /^HTTP\/1\.1 403 /);
  await removeYaml(mesh, TILL_POLICY);
  await removePod(mesh.client, till);
});

test("the waypoint of another namespace is nobody here, bound or not", async () => {
  const forge: Forger = await forger(mesh);
  const foreign = forge.forge({ uris: [`spiffe://cluster.local/ns/street/sa/${AUTOMATIC}`] });
  const ports = { catalog: 8080, frontend: 9090 } as const;
  for (const name of ["catalog", "frontend"] as const) {
    const target = { host: shop[name].ipv4, port: 15_008, authority: `${shop[name].ipv4}:${ports[name]}` };
    assert.equal(await shop.intruder.hands.run(knock, target, foreign), "401", name);
  }
});
