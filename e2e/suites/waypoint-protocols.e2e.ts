/** What goes over HTTP beside plain requests, through a waypoint: gRPC, HTTP/2 in clear, WebSocket. Judged once, and again while it goes on. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { eventually } from "../framework/eventually.ts";
import { request } from "../framework/http-moves.ts";
import { accessLog, REFUSED, theWaypoint } from "../framework/l7-shop.ts";
import { type Mesh, meshUp } from "../framework/mesh.ts";
import { containerLog, type LogLine } from "../framework/node-inside.ts";
import { applyYaml, type PodFacts } from "../framework/pods.ts";
import {
  cancel,
  eventsOf,
  grpcSay,
  grpcWatch,
  h2Request,
  webSocket,
  webSocketSay,
} from "../framework/stream-moves.ts";
import { openTalk, type Talk, talkPolicy } from "../framework/talk.ts";
import { AUTOMATIC, untilEnforced } from "../framework/waypoints.ts";

const GRPC = "talk.talk:9000";
const FOREVER = { count: 100_000, everyMs: 50 };
const PERMISSION_DENIED = { code: 7, details: "RBAC: access denied", text: "" };

const STAYING = ["/open/stays", "/talk.Talk/Say"];
const GOING = ["/open/*", "/talk.Talk/Watch"];

let mesh: Mesh;
let talk: Talk;
let waypoint: PodFacts;

before(async () => {
  mesh = await meshUp();
  talk = await openTalk(mesh);
  await applyYaml(mesh.client, talkPolicy(...STAYING, ...GOING));
  await untilEnforced(mesh.client, "talk", "talk");
  waypoint = await theWaypoint(mesh, AUTOMATIC, "talk");
  talk.arrivals.begin();
});
after(() => mesh?.down());

/** Waits for an event on a call of `far` that goes on. */
function untilEvent(name: string, wanted: RegExp): Promise<string> {
  return eventually(`${name}: ${wanted.source}`, async () => {
    const events = await talk.far.hands.run(eventsOf, name);
    const found = events.findLast((event) => wanted.test(event));
    if (found === undefined) throw new Error(events.slice(-3).join(", "));
    return found;
  });
}

/** Lines of the application's own log. */
const ofServer = (wanted: (line: LogLine) => boolean): readonly LogLine[] =>
  containerLog(mesh.node("n2"), talk.server, talk.server.container).filter(wanted);

test("gRPC: answers, streams, errors without a body and cancellation pass as what they are", async () => {
  const { hands } = talk.far;
  assert.deepEqual(await hands.run(grpcSay, GRPC, "hello"), { code: 0, details: "", text: "you said hello" });
  const missing = { code: 5, details: "nobody said that", text: "" };
  assert.deepEqual(await hands.run(grpcSay, GRPC, "missing"), missing);
  await hands.run(grpcWatch, "few", GRPC, { count: 20, everyMs: 5 });
  assert.equal(await untilEvent("few", /^end/), "end 0");
  const wanted = Array.from({ length: 20 }, (_, i) => `message ${i + 1}`);
  assert.deepEqual(await hands.run(eventsOf, "few"), [...wanted, "end 0"]);
  await hands.run(grpcWatch, "cancelled", GRPC, FOREVER);
  await untilEvent("cancelled", /^message 3$/);
  await hands.run(cancel, "cancelled");
  await untilEvent("cancelled", /^end 1$/);
  await eventually("the application hears of it", () =>
    ofServer((line) => line["over"] === "/talk.Talk/Watch").length > 0 ? true : undefined,
  );
});

test("gRPC: who may not is told PERMISSION_DENIED, and nothing arrives", async () => {
  assert.deepEqual(await talk.far.hands.run(grpcSay, GRPC, "x", "/talk.Talk/Other"), PERMISSION_DENIED);
  assert.deepEqual(await talk.stranger.hands.run(grpcSay, GRPC, "strange"), PERMISSION_DENIED);
  await talk.stranger.hands.run(grpcWatch, "strange", GRPC, FOREVER);
  await eventually("its end", async () => {
    const events = await talk.stranger.hands.run(eventsOf, "strange");
    return events.length > 0 ? (assert.deepEqual(events, ["end 7"]) ?? true) : undefined;
  });
});

test("HTTP/2 in clear by prior knowledge: the same rules, request by request", async () => {
  const ask = (path: string, pod = talk.far) => pod.hands.run(h2Request, "http://talk.talk:81", "GET", path);
  assert.deepEqual(await ask("/open/two"), { status: 200, body: "two\n" });
  assert.deepEqual(await ask("/closed/two"), REFUSED);
  assert.deepEqual(await ask("/open/two", talk.stranger), REFUSED);
  const old = { host: "talk.talk", port: 81, path: "/open/from-one" };
  assert.deepEqual(await talk.far.hands.run(request, old), { status: 200, body: "two\n" });
});

test("an upgrade to h2c is not made: the request is judged and answered as what it is, its fields stay behind", async () => {
  const upgrade = { connection: "upgrade, http2-settings", upgrade: "h2c", "http2-settings": "AAMAAABk" };
  const ask = (path: string) =>
    talk.far.hands.run(request, { host: "talk.talk", port: 80, path, headers: upgrade });
  assert.deepEqual(await ask("/open/h2c"), { status: 200, body: "plain\n" });
  assert.deepEqual(await ask("/closed/h2c"), REFUSED);
  const line = await eventually("it arrives", () => ofServer((l) => l["path"] === "/open/h2c")[0]);
  for (const field of ["upgrade", "http2-settings"])
    assert.ok(!(line["fields"] as readonly string[]).includes(field), JSON.stringify(line));
});

test("WebSocket: a tunnel once it is allowed, else 403", async () => {
  await talk.far.hands.run(webSocket, "chat", "ws://talk.talk/open/chat");
  await untilEvent("chat", /^open$/);
  await talk.far.hands.run(webSocketSay, "chat", "one");
  await untilEvent("chat", /^message one$/);
  await talk.far.hands.run(cancel, "chat");
  await untilEvent("chat", /^end 1005$/);
  const upgrade = {
    connection: "Upgrade",
    upgrade: "websocket",
    "sec-websocket-version": "13",
    "sec-websocket-key": "MDEyMzQ1Njc4OWFiY2RlZg==",
  };
  const closed = { host: "talk.talk", port: 80, path: "/closed/chat", headers: upgrade };
  assert.deepEqual(await talk.far.hands.run(request, closed), REFUSED);
  const open = { ...closed, path: "/open/chat" };
  assert.deepEqual(await talk.stranger.hands.run(request, open), REFUSED);
});

test("a policy that no longer allows what goes on ends it, and leaves alone what it still allows", async () => {
  const { hands } = talk.far;
  await hands.run(grpcWatch, "watch", GRPC, FOREVER);
  for (const name of ["stays", "goes"]) await hands.run(webSocket, name, `ws://talk.talk/open/${name}`);
  await untilEvent("watch", /^message/);
  for (const name of ["stays", "goes"]) await untilEvent(name, /^open$/);
  await applyYaml(mesh.client, talkPolicy(...STAYING));
  await untilEnforced(mesh.client, "talk", "talk");
  assert.match(await untilEvent("watch", /^end/), /^end [1-9]/);
  assert.equal(await untilEvent("goes", /^end/), "end 1006");
  await hands.run(webSocketSay, "stays", "still here");
  await untilEvent("stays", /^message still here$/);
  await eventually("the application hears of both", () => {
    const over = ofServer((line) => typeof line["over"] === "string").map((line) => line["over"]);
    return over.includes("/open/goes") && over.filter((path) => path === "/talk.Talk/Watch").length >= 2
      ? true
      : undefined;
  });
  const lines = await eventually("their lines", () => {
    const found = accessLog(mesh, waypoint).filter((line) => line["reason"] === "policy-changed");
    return found.length >= 2 ? found : undefined;
  });
  assert.deepEqual(lines.map((line) => String(line["path"])).toSorted(), ["/open/goes", "/talk.Talk/Watch"]);
});

test("nothing that was refused has reached the application", async () => {
  const seen = await talk.arrivals.expectEvaluated(waypoint, { inLog: false });
  const wrong = seen.filter(({ path }) => /closed|Other/.test(path));
  assert.deepEqual(wrong, []);
  const spoken = new Set(
    ofServer((line) => line["protocol"] !== undefined).map((line) => String(line["protocol"])),
  );
  assert.deepEqual([...spoken].toSorted(), ["grpc", "http1", "http2", "websocket"]);
});
