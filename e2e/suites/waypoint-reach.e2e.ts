/**
 * Who reaches a bound workload, by which address and from where; several waypoints at once, a policy of the whole mesh among their own
 * ones: each judges the caller before it, and nobody else's.
 */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { jsonList, jsonObject, jsonText } from "#core/k8s/json-read.ts";
import { kindPath, SERVICE } from "#core/k8s/kinds.ts";
import { eventually } from "../framework/eventually.ts";
import { accessLog, asked, REFUSED, removeYaml, theWaypoint } from "../framework/l7-shop.ts";
import { type Mesh, meshUp } from "../framework/mesh.ts";
import type { LogLine } from "../framework/node-inside.ts";
import { applyYaml, type PodFacts } from "../framework/pods.ts";
import type { HandledPod } from "../framework/shop.ts";
import { openDesk, openTalk, type Talk } from "../framework/talk.ts";
import { AUTOMATIC, gatewaysOf, untilEnforced } from "../framework/waypoints.ts";

const id = (namespace: string, account: string): string => `cluster.local/ns/${namespace}/sa/${account}`;

const OWN_POLICIES = `
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: { name: talk, namespace: talk }
spec:
  selector: { matchLabels: { app: talk } }
  action: ALLOW
  rules:
    - from: [{ source: { principals: ["${id("talk", "caller")}"] } }]
      to: [{ operation: { methods: [GET], paths: ["/open/*"] } }]
    - from: [{ source: { principals: ["${id("desk", "desk")}"] } }]
      to: [{ operation: { methods: [GET], paths: ["/from-desk"] } }]
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: { name: desk, namespace: desk }
spec:
  selector: { matchLabels: { app: desk } }
  action: ALLOW
  rules:
    - from: [{ source: { principals: ["${id("talk", "caller")}"] } }]
      to: [{ operation: { methods: [GET] } }]
`;
const EVERYWHERE = `
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: { name: no-secrets, namespace: istio-system }
spec:
  action: DENY
  rules: [{ to: [{ operation: { paths: ["/open/secret", "/secret"] } }] }]
`;

let mesh: Mesh;
let talk: Talk;
let waypoint: PodFacts;
let deskWaypoint: PodFacts;
/** Of the service, of both families. */
let vips: readonly string[];

before(async () => {
  mesh = await meshUp();
  [talk] = await Promise.all([openTalk(mesh), openDesk(mesh)]);
  for (const yaml of [OWN_POLICIES, EVERYWHERE]) await applyYaml(mesh.client, yaml);
  await untilEnforced(mesh.client, "talk", "talk");
  await untilEnforced(mesh.client, "desk", "desk");
  await untilEnforced(mesh.client, "istio-system", "no-secrets");
  waypoint = await theWaypoint(mesh, AUTOMATIC, "talk");
  deskWaypoint = await theWaypoint(mesh, AUTOMATIC, "desk");
  const path = kindPath(SERVICE, { namespace: "talk", name: "talk" });
  const service = jsonObject(await mesh.client.json({ method: "GET", path }));
  vips = jsonList(jsonObject(service["spec"])["clusterIPs"]).map(jsonText);
});
after(() => mesh?.down());

/** The line of a waypoint about the last request for `path`. */
const lineOf = (at: PodFacts, path: string): Promise<LogLine> =>
  eventually(`a line about ${path}`, () => accessLog(mesh, at).findLast((line) => line["path"] === path));

test("each enrolled namespace has a waypoint of its own, and no other one has any", async () => {
  for (const [namespace, count] of [
    ["talk", 1],
    ["desk", 1],
    ["istio-system", 0],
    ["kube-system", 0],
  ] as const)
    assert.equal((await gatewaysOf(mesh.client, namespace)).length, count, namespace);
});

test("by every address, of both families, from the same node and from another: judged at the waypoint, as who asks", async () => {
  assert.equal(vips.length, 2, "the service has addresses of both families");
  talk.arrivals.begin();
  const addresses: readonly (readonly [string, string, number])[] = [
    ["name", "talk.talk", 80],
    ["short-name", "talk", 80],
    ["headless-name", "talk-each.talk", 8080],
    ...vips.map((vip, i) => [`vip-${i}`, vip, 80] as const),
    ["pod-4", talk.server.ipv4, 8080],
    ["pod-6", talk.server.ipv6, 8080],
  ];
  for (const [kind, host, port] of addresses) {
    for (const pod of [talk.near, talk.far]) {
      const path = `/open/${kind}/${pod.name}`;
      assert.equal((await asked(pod, path, { host, port })).status, 200, path);
      const line = await lineOf(waypoint, path);
      assert.equal(line["src.identity"], `spiffe://${id("talk", "caller")}`);
      assert.equal(line["src.workload"], pod.name);
      const closed = await asked(pod, path.replace("/open/", "/closed/"), { host, port });
      assert.deepEqual(closed, REFUSED, `${kind} ${pod.name}`);
    }
    const strange = await asked(talk.stranger, `/open/${kind}/stranger`, { host, port });
    assert.deepEqual(strange, REFUSED, kind);
  }
  const seen = await talk.arrivals.expectEvaluated(waypoint);
  assert.equal(seen.length, addresses.length * 2);
  assert.ok(seen.every(({ path }) => /^\/open\/.*\/(near|far)$/.test(path)));
});

test("the application itself: by its service as anybody, by its own address it stays with itself", async () => {
  const bySelf = await asked(talk.server, "/open/self", { host: vips[0] ?? "", port: 80 });
  assert.deepEqual(bySelf, REFUSED);
  assert.equal((await lineOf(waypoint, "/open/self"))["src.identity"], `spiffe://${id("talk", "server")}`);
  const own = await asked(talk.server, "/open/own", { host: talk.server.ipv4, port: 8080 });
  assert.equal(own.status, 200);
});

test("from one bound namespace to another: the second waypoint judges the one who calls it, not who called before", async () => {
  const page = (pod: HandledPod): ReturnType<typeof asked> =>
    asked(pod, "/page", { host: "desk.desk", port: 80 });
  assert.deepEqual(await page(talk.far), { status: 200, body: "plain\n" });
  assert.equal((await lineOf(deskWaypoint, "/page"))["src.identity"], `spiffe://${id("talk", "caller")}`);
  const second = await lineOf(waypoint, "/from-desk");
  assert.equal(second["src.identity"], `spiffe://${id("desk", "desk")}`);
  assert.equal(second["src.namespace"], "desk");
  assert.deepEqual(await page(talk.stranger), REFUSED);
  const direct = await asked(talk.far, "/from-desk", { host: "talk.talk", port: 80 });
  assert.deepEqual(direct, REFUSED, "who may call the desk may not speak for it");
});

test("a policy of the whole mesh refuses at each of them, and leaves their own ones alone when it goes", async () => {
  const secret = (host: string, path: string): ReturnType<typeof asked> =>
    asked(talk.far, path, { host, port: 80 });
  assert.deepEqual(await secret("talk.talk", "/open/secret"), REFUSED);
  assert.deepEqual(await secret("desk.desk", "/secret"), REFUSED);
  for (const [at, path] of [
    [waypoint, "/open/secret"],
    [deskWaypoint, "/secret"],
  ] as const)
    assert.equal((await lineOf(at, path))["policy"], "istio-system/no-secrets");
  await removeYaml(mesh, EVERYWHERE);
  await eventually("nothing is secret any more", async () =>
    (await secret("talk.talk", "/open/secret")).status === 200 &&
    (await secret("desk.desk", "/secret")).status === 200
      ? true
      : undefined,
  );
  assert.deepEqual(await secret("talk.talk", "/closed/secret"), REFUSED);
  assert.deepEqual(await asked(talk.stranger, "/", { host: "desk.desk", port: 80 }), REFUSED);
  for (const name of ["talk", "desk"]) await untilEnforced(mesh.client, name, name);
});
