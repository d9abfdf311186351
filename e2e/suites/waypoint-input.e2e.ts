/** What callers may send through a mesh with a waypoint, and what is refused, with which answer; policies that can never mean anything. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { after, before, describe, test } from "node:test";
import { AUTHORIZATION_POLICY } from "#core/k8s/kinds.ts";
import { eventually } from "../framework/eventually.ts";
import { ITEMS_POLICY } from "../framework/l7-policies.ts";
import {
  accessLog,
  ArrivalWatch,
  asked,
  type L7Shop,
  openL7Shop,
  theWaypoint,
} from "../framework/l7-shop.ts";
import { type Mesh, meshUp } from "../framework/mesh.ts";
import { openStubborn, tell } from "../framework/tcp-moves.ts";
import { containerLog, podPids } from "../framework/node-inside.ts";
import { refusalOf } from "../framework/policies.ts";
import { applyYaml, type PodFacts } from "../framework/pods.ts";
import { untilEnforced } from "../framework/waypoints.ts";

let mesh: Mesh;
let shop: L7Shop;
let waypoint: PodFacts;
let arrivals: ArrivalWatch;

before(async () => {
  mesh = await meshUp();
  shop = await openL7Shop(mesh);
  await applyYaml(mesh.client, ITEMS_POLICY);
  await untilEnforced(mesh.client, "shop", "items");
  waypoint = await theWaypoint(mesh);
  arrivals = new ArrivalWatch(mesh, shop.catalog);
  arrivals.begin();
});
after(() => mesh?.down());

function residentKib(pid: number): number {
  return Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1] ?? 0);
}

const say = (text: string): Promise<string> => shop.frontend.hands.run(tell, "catalog.shop", 8080, text);
const HOST = "host: catalog.shop:8080\r\n";

describe("requests", { concurrency: false }, () => {
  const rows: readonly (readonly [string, string, RegExp])[] = [
    ["lines that end in LF alone", "GET /items/931 HTTP/1.1\nhost: catalog.shop\n\n", /^HTTP\/1\.1 400 /],
    [
      "two lengths of one body",
      `GET /items/931 HTTP/1.1\r\n${HOST}content-length: 4\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n`,
      /^HTTP\/1\.1 400 /,
    ],
    ["no host", "GET /items/931 HTTP/1.1\r\n\r\n", /^HTTP\/1\.1 400 /],
    ["two hosts", `GET /items/931 HTTP/1.1\r\n${HOST}${HOST}\r\n`, /^HTTP\/1\.1 400 /],
    ["a folded line", `GET /items/931 HTTP/1.1\r\n${HOST}a: b\r\n c\r\n\r\n`, /^HTTP\/1\.1 400 /],
    ["another version", `GET /items/931 HTTP/2.7\r\n${HOST}\r\n`, /^HTTP\/1\.1 505 /],
    ["CONNECT", `CONNECT catalog.shop:8080 HTTP/1.1\r\n${HOST}\r\n`, /^HTTP\/1\.1 405 /],
    [
      "a nul in the path",
      `GET /items/931%00 HTTP/1.1\r\n${HOST}connection: close\r\n\r\n`,
      /^HTTP\/1\.1 400 /,
    ],
    [
      "a head without end",
      `GET /items/931 HTTP/1.1\r\n${HOST}${`x: ${"y".repeat(1_000)}\r\n`.repeat(70)}`,
      /^HTTP\/1\.1 431 /,
    ],
    ["no HTTP at all", "\u0016\u0003\u0001\u0002\u0000\u0001", /^(HTTP\/1\.1 400 |\|)/],
  ];
  for (const [title, text, answer] of rows)
    test(`${title}: refused, and the caller can read it`, async () => assert.match(await say(text), answer));

  test("behind a refused request nothing is served", async () => {
    const smuggled = `GET /items/932 HTTP/1.1\r\n${HOST}\r\n`;
    const heard = await say(
      `GET /items/931 HTTP/1.1\r\n${HOST}content-length: ${smuggled.length}\r\ncontent-length: 0\r\n\r\n${smuggled}`,
    );
    assert.match(heard, /^HTTP\/1\.1 400 /);
    assert.equal(heard.split("HTTP/1.1 ").length, 2, "one answer");
  });

  test("behind a request that policy refuses, the next one of the connection is judged by itself", async () => {
    const heard = await say(
      `POST /items/931 HTTP/1.1\r\n${HOST}content-length: 0\r\n\r\nGET /items/933 HTTP/1.1\r\n${HOST}connection: close\r\n\r\n`,
    );
    assert.match(heard, /^HTTP\/1\.1 403 [^]*HTTP\/1\.1 200 /);
  });

  test("a body that holds a request stays a body", async () => {
    const smuggled = `GET /items/932 HTTP/1.1\r\n${HOST}\r\n`;
    const heard = await say(
      `GET /items/934 HTTP/1.1\r\n${HOST}content-length: ${smuggled.length}\r\nconnection: close\r\n\r\n${smuggled}`,
    );
    assert.match(heard, /^HTTP\/1\.1 200 /);
    assert.equal(heard.split("HTTP/1.1 ").length, 2, "one answer");
  });

  test("paths that mean another one are judged as that one", async () => {
    for (const path of ["/items/../", "/items/%2e%2e/", "/x/..\\..\\secret", "/%69tems/../secret"])
      assert.equal((await asked(shop.frontend, path)).status, 403, path);
    assert.equal(
      (await asked(shop.frontend, "/x/../items/935")).status,
      200,
      "and reaches the application as it",
    );
  });

  test("only what was judged has arrived, in the form in which it was judged", async () => {
    const seen = await arrivals.expectEvaluated(waypoint);
    const paths = seen.map(({ path }) => path).filter((path) => /\/items\/93\d/.test(path));
    assert.deepEqual([...new Set(paths)].toSorted(), ["/items/933", "/items/934", "/items/935"]);
  });

  test("each refusal is a line with its reason and step", async () => {
    const refused = await eventually("lines", () => {
      const lines = containerLog(mesh.node(waypoint.node), waypoint, waypoint.container);
      const found = lines.filter((l) => l["reason"] === "bad-request" || l["reason"] === "bad-path");
      return found.length >= 8 ? found : undefined;
    });
    for (const line of refused) assert.match(String(line["stage"]), /^W[23]$/, JSON.stringify(line));
    assert.ok(accessLog(mesh, waypoint).length > 0);
  });

  test("many callers that say nothing cost little, and do not stop the others", async () => {
    const rss = (): number => Math.max(...podPids(mesh.node(waypoint.node), waypoint.uid).map(residentKib));
    const before = rss();
    for (let i = 0; i < 200; i++)
      await shop.frontend.hands.run(openStubborn, `idle-${i}`, "catalog.shop", 8080);
    await shop.load.begin();
    await new Promise((resolve) => setTimeout(resolve, 1_000));
    await shop.load.expectNoFailure("beside 200 silent connections");
    assert.ok(rss() - before < 64 * 1_024, `${rss() - before} KiB more`);
  });
});

describe("policies", () => {
  const policy = (operation: object, more: object = {}): Readonly<Record<string, unknown>> => ({
    apiVersion: "security.istio.io/v1",
    kind: "AuthorizationPolicy",
    metadata: { name: "bad", namespace: "shop" },
    spec: { action: "DENY", rules: [{ to: [{ operation }] }], ...more },
  });
  const rows: readonly (readonly [string, object, RegExp])[] = [
    [
      "a path template that is none",
      { paths: ["/items/{id}"] },
      /spec\.rules\[0\]\.to\[0\]\.operation\.paths/,
    ],
    ["a path with a query", { paths: ["/items?x=1"] }, /operation\.paths/],
    ["a method in lower case", { methods: ["get"] }, /operation\.methods/],
    ["nothing at all", {}, /spec\.rules\[0\]\.to\[0\]/],
  ];
  for (const [title, operation, where] of rows)
    test(`${title} is refused, with the field`, async () =>
      assert.match(await refusalOf(mesh, AUTHORIZATION_POLICY, policy(operation)), where));
});
