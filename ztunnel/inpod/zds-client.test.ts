/** The real client against an agent of this test, over a real SEQPACKET socket with real descriptors. */
import assert from "node:assert/strict";
import { fstatSync, mkdtempSync, openSync, closeSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { systemClock } from "#core/base/clock.ts";
import { listenSeqpacket, type SeqpacketConnection } from "#core/linux/unix-seqpacket.ts";
import { podUid } from "#core/model/ids.ts";
import { silentLogger } from "#core/runtime/log.ts";
import { decodeZdsAck, decodeZdsHello, encodeZdsRequest, type ZdsRequest } from "#core/wire/zds-codec.ts";
import { type PodTarget, runZdsClient } from "./zds-client.ts";
import type { ZdsStep } from "./zds-session.ts";

const directory = mkdtempSync(join(tmpdir(), "ambit-zds-"));
after(() => rmSync(directory, { recursive: true, force: true }));
let sockets = 0;
const LIMIT = AbortSignal.timeout(20_000);

interface FakeAgent {
  readonly path: string;
  next(): Promise<SeqpacketConnection>;
  close(): void;
}

function fakeAgent(): FakeAgent {
  const path = join(directory, `${sockets++}.sock`);
  const waiting: SeqpacketConnection[] = [];
  let wake: (() => void) | undefined;
  const listener = listenSeqpacket({ path }, (connection) => {
    waiting.push(connection);
    wake?.();
  });
  return {
    path,
    next: async () => {
      while (waiting.length === 0) await new Promise<void>((resolve) => (wake = resolve));
      const connection = waiting.shift();
      assert.ok(connection);
      const hello = await connection.receive(LIMIT);
      assert.ok(hello && decodeZdsHello(hello.bytes).ok);
      return connection;
    },
    close: () => listener.close(),
  };
}

interface Recorder extends PodTarget {
  readonly steps: ZdsStep[];
  readonly synced: boolean[];
  failure: string | undefined;
}

function recorder(): Recorder {
  const self: Recorder = {
    steps: [],
    synced: [],
    failure: undefined,
    apply: async (step) => {
      if (step.kind === "add") {
        assert.ok(fstatSync(step.netnsFd).ino > 0);
        closeSync(step.netnsFd);
      }
      self.steps.push(step);
      await Promise.resolve();
      if (self.failure !== undefined) throw new Error(self.failure);
    },
    setSynced: (value) => void self.synced.push(value),
  };
  return self;
}

async function send(
  agent: SeqpacketConnection,
  request: ZdsRequest | Uint8Array,
  fds: number = 0,
): Promise<string> {
  const opened = Array.from({ length: fds }, () => openSync("/proc/self/ns/net", "r"));
  await agent.send(request instanceof Uint8Array ? request : encodeZdsRequest(request), opened, LIMIT);
  for (const fd of opened) closeSync(fd);
  const answer = await agent.receive(LIMIT);
  assert.ok(answer);
  const ack = decodeZdsAck(answer.bytes);
  assert.ok(ack.ok);
  return ack.value.error;
}

async function withClient(work: (agent: FakeAgent, target: Recorder) => Promise<void>): Promise<void> {
  const agent = fakeAgent();
  const target = recorder();
  const stop = new AbortController();
  const client = runZdsClient({ target, clock: systemClock, log: silentLogger }, agent.path, stop.signal);
  try {
    await work(agent, target);
  } finally {
    stop.abort();
    await client;
    agent.close();
  }
}

const workload = { name: "web-1", namespace: "default", serviceAccount: "web" };
const ADD: ZdsRequest = { kind: "add", uid: podUid("u1"), workload };

test("an add without a descriptor is refused and ends the connection; a new one starts over", () =>
  withClient(async (agent, target) => {
    const first = await agent.next();
    assert.match(await send(first, ADD, 0), /0 descriptors/);
    assert.equal(await first.receive(LIMIT), undefined);
    const second = await agent.next();
    assert.equal(await send(second, ADD, 1), "");
    assert.deepEqual(
      target.steps.map((s) => s.kind),
      ["add"],
    );
    second.close();
    first.close();
  }));

test("garbage is refused and ends the connection", () =>
  withClient(async (agent, target) => {
    const connection = await agent.next();
    assert.notEqual(await send(connection, Uint8Array.of(0xff, 0xff, 0xff)), "");
    assert.equal(await connection.receive(LIMIT), undefined);
    assert.deepEqual(target.steps, []);
    connection.close();
  }));

test("a message longer than the protocol allows ends the connection", () =>
  withClient(async (agent, target) => {
    const connection = await agent.next();
    await connection.send(new Uint8Array(4096), [], LIMIT);
    assert.equal(await connection.receive(LIMIT).catch(() => undefined), undefined);
    assert.deepEqual(target.steps, []);
    connection.close();
  }));

test("a snapshot, a change, and an agent that goes away and comes back", () =>
  withClient(async (agent, target) => {
    const first = await agent.next();
    assert.equal(await send(first, ADD, 1), "");
    assert.equal(await send(first, { kind: "snapshot-sent" }), "");
    assert.deepEqual(target.synced, [true]);
    assert.equal(await send(first, { kind: "delete", uid: podUid("u1") }), "");
    first.close();
    const second = await agent.next();
    assert.deepEqual(target.synced, [true, false]);
    assert.equal(await send(second, { kind: "snapshot-sent" }), "");
    assert.deepEqual(
      target.steps.map((s) => s.kind),
      ["add", "retain", "delete", "retain"],
    );
    second.close();
  }));

test("a pod that cannot be served is reported and the connection lives on", () =>
  withClient(async (agent, target) => {
    const connection = await agent.next();
    target.failure = "no listener";
    assert.match(await send(connection, ADD, 1), /no listener/);
    target.failure = undefined;
    assert.equal(await send(connection, { kind: "snapshot-sent" }), "");
    connection.close();
  }));
