import assert from "node:assert/strict";
import { after, afterEach, before, test } from "node:test";
import { status } from "@grpc/grpc-js";
import { createBackoff } from "../base/backoff.ts";
import { type Clock, systemClock } from "../base/clock.ts";
import { createFileCa } from "../identity/file-ca.ts";
import { silentLogger } from "../runtime/log.ts";
import { type FakeXdsServer, startFakeXdsServer } from "../testing/fake-xds-server.ts";
import {
  DeltaClient,
  type DeltaClientDeps,
  type DeltaClientOptions,
  type XdsUpdate,
} from "./delta-client.ts";
import type { StreamEnd } from "./delta-stream.ts";
import { RECONNECT_BACKOFF, reconnectDelayMs } from "./reconnect-delay.ts";

const A = "type.test/A";
const B = "type.test/B";
const NODE = {
  id: "ztunnel~10.0.0.1~z.ns~ns.svc",
  cluster: "",
  metadata: { NODE_NAME: "n1" },
  buildVersion: "",
};
const ca = createFileCa({ trustDomain: "cluster.local" });
const never = new AbortController().signal;
let server: FakeXdsServer;
let stopClient: () => Promise<void> = () => Promise.resolve();

before(async () => {
  server = await startFakeXdsServer(ca);
});
afterEach(() => stopClient());
after(() => server.stop());

interface Running {
  readonly client: DeltaClient;
  readonly updates: XdsUpdate[];
  readonly delays: number[];
}

/** A client whose waits take no time; "bad" resources are rejected. */
function run(deps: Partial<DeltaClientDeps> = {}, options: Partial<DeltaClientOptions> = {}): Running {
  const updates: XdsUpdate[] = [];
  const delays: number[] = [];
  const clock: Clock = {
    ...systemClock,
    sleep: (ms, signal) => {
      delays.push(ms);
      return systemClock.sleep(1, signal);
    },
  };
  const client = new DeltaClient(
    {
      log: silentLogger,
      clock,
      random: () => 0.5,
      readRoots: () => Promise.resolve(ca.rootPem),
      readToken: () => Promise.resolve("secret-token"),
      apply: (update) => {
        updates.push({ ...update, resources: update.resources.map((r) => ({ ...r })) });
        return update.resources
          .filter((r) => r.name === "bad")
          .map((r) => ({ name: r.name, reason: "told to" }));
      },
      ...deps,
    },
    {
      address: server.address,
      clusterId: "c1",
      node: NODE,
      subscriptions: [
        { typeUrl: A, mode: "wildcard" },
        { typeUrl: B, mode: "wildcard" },
      ],
      ...options,
    },
  );
  const controller = new AbortController();
  const ended = client.run(controller.signal);
  stopClient = async () => {
    controller.abort();
    await ended;
  };
  return { client, updates, delays };
}

async function firstRequests(): Promise<void> {
  await server.nextRequest();
  await server.nextRequest();
}

test("the first requests carry node, token and cluster", async () => {
  run({}, { headers: { "X-Extra": "1" } });
  const [first, second] = [await server.nextRequest(), await server.nextRequest()];
  assert.deepEqual([first.typeUrl, second.typeUrl], [A, B]);
  assert.deepEqual([first.node, second.node], [NODE, NODE]);
  assert.deepEqual([first.subscribe, first.unsubscribe], [[], []]);
  assert.equal(server.header("authorization"), "Bearer secret-token");
  assert.equal(server.header("clusterid"), "c1");
  assert.equal(server.header("x-extra"), "1");
});

test("a response is applied before it is acknowledged; ready after every type", async () => {
  const { client, updates } = run();
  await firstRequests();
  const nonce = server.push({
    typeUrl: A,
    resources: [{ name: "x", version: "1", body: Uint8Array.of(1, 2) }],
  });
  const ack = await server.nextAck();
  assert.deepEqual([ack.responseNonce, ack.typeUrl, ack.node], [nonce, A, undefined]);
  assert.deepEqual(
    updates[0]?.resources.map((r) => [r.name, r.version, [...r.body]]),
    [["x", "1", [1, 2]]],
  );
  assert.deepEqual(client.status().acknowledged, [A]);
  server.push({ typeUrl: B });
  await server.nextAck();
  await client.ready(never);
  assert.deepEqual(client.status(), { connected: true, acknowledged: [A, B], lastError: undefined });
});

test("a bad resource is rejected alone, and does not make the client ready", async () => {
  const { client, updates } = run();
  await firstRequests();
  server.push({ typeUrl: A, resources: [{ name: "good" }, { name: "bad" }], removed: ["old"] });
  const nack = await server.nextNack();
  assert.match(nack.error?.message ?? "", /^bad: told to$/);
  assert.deepEqual(updates[0]?.removed, ["old"]);
  assert.deepEqual(client.status(), { connected: true, acknowledged: [], lastError: "bad: told to" });
  const patience = new AbortController();
  const ready = client.ready(patience.signal);
  patience.abort(new Error("not ready"));
  await assert.rejects(ready, /not ready/);
  server.push({ typeUrl: A, resources: [{ name: "good" }] });
  await server.nextAck();
  assert.equal(client.status().lastError, undefined);
});

test("after a break the client reports what it holds", async () => {
  const { client, updates } = run();
  await firstRequests();
  server.push({
    typeUrl: A,
    resources: [
      { name: "x", version: "1" },
      { name: "y", version: "7" },
    ],
  });
  await server.nextAck();
  server.push({
    typeUrl: A,
    resources: [
      { name: "x", version: "2" },
      { name: "bad", version: "9" },
    ],
    removed: ["y"],
  });
  await server.nextNack();
  server.endStream(status.UNAVAILABLE);
  const again = await server.nextRequest();
  assert.deepEqual([again.typeUrl, [...again.initialResourceVersions]], [A, [["x", "2"]]]);
  assert.deepEqual((await server.nextRequest()).node, NODE);
  server.push({ typeUrl: A, resources: [{ name: "x", version: "3" }] });
  await server.nextAck();
  assert.equal(updates.length, 3);
  assert.ok(client.status().connected);
});

test("a stream that the server ends is opened again at once", async () => {
  const { delays } = run();
  await firstRequests();
  server.push({ typeUrl: A });
  await server.nextAck();
  server.endStream(status.OK);
  await firstRequests();
  assert.deepEqual(delays, [0]);
});

test("a server that only hangs up is asked less and less often", async () => {
  const { client, delays } = run();
  for (let i = 0; i < 4; i++) {
    await firstRequests();
    server.endStream(status.PERMISSION_DENIED);
  }
  await firstRequests();
  assert.deepEqual(delays, [10, 20, 40, 80]);
  assert.match(client.status().lastError ?? "", /PERMISSION_DENIED: told to/);
});

test("bytes that are no response end the stream, and the client comes back", async () => {
  const { client, delays } = run();
  await firstRequests();
  server.pushRaw(Uint8Array.of(0x0a, 0xff));
  await firstRequests();
  assert.equal(delays.length, 1);
  assert.match(client.status().lastError ?? "", /XDS_BAD_RESPONSE|the response ends in the middle/);
});

test("a server with a foreign certificate gets no request and no token", async () => {
  const streams = server.streamCount;
  const other = createFileCa({ trustDomain: "cluster.local" }).rootPem;
  const roots = [other, "", ca.rootPem];
  const { delays } = run({ readRoots: () => Promise.resolve(roots.shift() ?? ca.rootPem) });
  await firstRequests();
  assert.deepEqual([server.streamCount - streams, delays.length], [1, 2]);
});

test("a token that cannot be read delays, and is read anew for every stream", async () => {
  let reads = 0;
  const { delays } = run({
    readToken: () =>
      ++reads === 1 ? Promise.reject(new Error("no token yet")) : Promise.resolve(`t${reads}`),
  });
  await firstRequests();
  assert.deepEqual([delays.length, server.header("authorization")], [1, "Bearer t2"]);
  server.endStream(status.UNAVAILABLE);
  await firstRequests();
  assert.equal(server.header("authorization"), "Bearer t3");
});

test("on demand: a name is asked for once and settled by its answer or its absence", async () => {
  const { client } = run({}, { subscriptions: [{ typeUrl: A, mode: "on-demand" }] });
  const first = await server.nextRequest();
  assert.deepEqual([first.subscribe, first.unsubscribe], [["*"], ["*"]]);
  await client.ready(never);
  const waits = [
    client.demand(A, "net/10.0.0.1", never),
    client.demand(A, "net/10.0.0.1", never),
    client.demand(A, "gone", never),
  ];
  assert.deepEqual((await server.nextRequest()).subscribe, ["net/10.0.0.1"]);
  assert.deepEqual((await server.nextRequest()).subscribe, ["gone"]);
  server.push({ typeUrl: A, resources: [{ name: "uid", aliases: ["net/10.0.0.1"] }], removed: ["gone"] });
  await Promise.all(waits);
  await client.demand(A, "gone", never);
  await client.demand(A, "net/10.0.0.1", never);
  await server.nextAck();
});

test("a demand survives a break of the stream, and its caller may give up", async () => {
  const { client } = run({}, { subscriptions: [{ typeUrl: A, mode: "on-demand" }] });
  await server.nextRequest();
  const patience = new AbortController();
  const impatient = client.demand(A, "x", patience.signal);
  const patient = client.demand(A, "x", never);
  await server.nextRequest();
  patience.abort(new Error("gave up"));
  await assert.rejects(impatient, /gave up/);
  server.endStream(status.UNAVAILABLE);
  assert.deepEqual((await server.nextRequest()).subscribe, ["*", "x"]);
  server.push({ typeUrl: A, resources: [{ name: "x" }] });
  await patient;
  await server.nextAck();
});

test("a server that is not there is waited for", async () => {
  const { client, delays } = run({}, { address: "localhost:1" });
  const deadlineMs = Date.now() + 5_000;
  while (delays.length < 2 && Date.now() < deadlineMs) await systemClock.sleep(5);
  assert.ok(delays.length >= 2);
  assert.equal(client.status().connected, false);
  assert.match(client.status().lastError ?? "", /cannot reach localhost:1/);
});

test("reconnect delays", () => {
  const cases: readonly (readonly [StreamEnd, boolean, number])[] = [
    [{ kind: "clean" }, true, 0],
    [{ kind: "clean" }, false, 10],
    [{ kind: "status", code: status.UNKNOWN, error: "" }, true, 10],
    [{ kind: "status", code: status.UNAVAILABLE, error: "x received prior goaway" }, true, 10],
    [{ kind: "status", code: status.INVALID_ARGUMENT, error: "" }, true, 10],
    [{ kind: "no-connection", error: "" }, false, 10],
    [{ kind: "bad-response", error: "" }, false, 10],
  ];
  for (const [end, hadResponse, expected] of cases) {
    const backoff = createBackoff(RECONNECT_BACKOFF, () => 0.5);
    assert.equal(reconnectDelayMs(end, { hadResponse, livedMs: 0 }, backoff), expected);
  }
  const denied: StreamEnd = { kind: "status", code: status.PERMISSION_DENIED, error: "" };
  const ends: readonly (readonly [StreamEnd, boolean])[] = [
    [{ kind: "clean" }, false],
    [denied, false],
    [denied, true],
  ];
  for (const [end, hadResponse] of ends) {
    const backoff = createBackoff(RECONNECT_BACKOFF, () => 0.5);
    const delay = (livedMs: number): number => reconnectDelayMs(end, { hadResponse, livedMs }, backoff);
    const delays = Array.from({ length: 12 }, () => delay(5));
    assert.deepEqual([delays[1], delays.at(-1)], [20, 15_000], "a server that hangs up is not hammered");
    assert.equal(delay(60_000), hadResponse ? 10 : 15_000, "unless the stream had been a working one");
  }
});
