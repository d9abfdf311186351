/** The announcer against ztunnels that speak over real sockets, well and badly. */
import assert from "node:assert/strict";
import { chmodSync, closeSync, mkdtempSync, openSync, readlinkSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { deadline } from "#core/base/abort.ts";
import { connectSeqpacket, type SeqpacketConnection } from "#core/linux/unix-seqpacket.ts";
import { podUid } from "#core/model/ids.ts";
import { silentLogger } from "#core/runtime/log.ts";
import { decodeZdsRequest, encodeZdsAck, encodeZdsHello, type ZdsRequest } from "#core/wire/zds-codec.ts";
import { RefusalCounts } from "./refusals.ts";
import { type SnapshotEntry, ZdsServer, type ZtunnelPeer } from "./zds-server.ts";

const ADD: ZdsRequest = {
  kind: "add",
  uid: podUid("u1"),
  workload: { name: "web", namespace: "shop", serviceAccount: "web" },
};

let folder = "";
let netnsFd = -1;
before(() => {
  folder = mkdtempSync(join(tmpdir(), "ambit-zds-"));
  netnsFd = openSync("/proc/self/ns/net", "r");
});
after(() => {
  closeSync(netnsFd);
  rmSync(folder, { recursive: true });
});

interface Scene {
  readonly server: ZdsServer;
  readonly refusals: RefusalCounts;
  readonly path: string;
  readonly ready: Promise<{ readonly peer: ZtunnelPeer; readonly acked: readonly SnapshotEntry[] }>;
  readonly gone: Promise<number>;
}

function listen(options: { snapshot?: readonly SnapshotEntry[]; refusal?: string } = {}): Scene {
  const path = join(folder, `${Math.random().toString(36).slice(2)}.sock`);
  const ready = Promise.withResolvers<{ peer: ZtunnelPeer; acked: readonly SnapshotEntry[] }>();
  const gone = Promise.withResolvers<number>();
  const refusals = new RefusalCounts();
  const server = new ZdsServer({
    path,
    log: silentLogger,
    refusals,
    judgePeer: () => options.refusal,
    snapshot: () => options.snapshot ?? [],
    onReady: (peer, acked) => ready.resolve({ peer, acked }),
    onGone: (_peer, remaining) => gone.resolve(remaining),
  });
  server.listen();
  return { server, refusals, path, ready: ready.promise, gone: gone.promise };
}

/** A ztunnel that answers everything with `error` ("" is fine) and records it. */
async function ztunnel(
  path: string,
  error = "",
): Promise<{ readonly seen: string[]; readonly fds: string[]; close: () => void }> {
  const connection = await connectSeqpacket(path);
  await connection.send(encodeZdsHello());
  const seen: string[] = [];
  const fds: string[] = [];
  const serve = async (): Promise<void> => {
    for (;;) {
      const message = await connection.receive();
      if (message === undefined) return;
      const request = decodeZdsRequest(message.bytes);
      seen.push(request.ok ? request.value.kind : "garbage");
      for (const fd of message.fds) {
        fds.push(readlinkSync(`/proc/self/fd/${fd}`));
        closeSync(fd);
      }
      const failing = request.ok && request.value.kind === "add" ? error : "";
      await connection.send(encodeZdsAck({ error: failing }));
    }
  };
  serve().catch(() => undefined);
  return { seen, fds, close: () => connection.close() };
}

async function untilClosed(connection: SeqpacketConnection): Promise<void> {
  assert.equal(await connection.receive(deadline(8_000)), undefined, "the agent closed the connection");
  connection.close();
}

test("a connecting ztunnel gets the snapshot with namespaces, then its end; later pods follow", async () => {
  const { server, path, ready } = listen({ snapshot: [{ request: ADD, fd: netnsFd }] });
  const client = await ztunnel(path);
  assert.equal((await ready).acked.length, 1);
  assert.deepEqual(client.seen, ["add", "snapshot-sent"]);
  assert.deepEqual(await server.add(ADD, netnsFd), { kind: "acked" });
  await server.broadcast({ kind: "delete", uid: podUid("u1") });
  assert.deepEqual(client.seen, ["add", "snapshot-sent", "add", "delete"]);
  const own = readlinkSync("/proc/self/ns/net");
  assert.deepEqual(client.fds, [own, own], "the descriptor is the pod's network namespace");
  client.close();
  server.close();
});

test("without a ztunnel an announcement fails at once and says so", async () => {
  const { server } = listen();
  const answer = await server.add(ADD, netnsFd);
  assert.equal(answer.kind, "no-ztunnel");
  server.close();
});

test("a pod that ztunnel cannot serve is reported, and the connection lives on", async () => {
  const { server, path, ready } = listen();
  const client = await ztunnel(path, "port 15008 is taken");
  await ready;
  assert.deepEqual(await server.add(ADD, netnsFd), { kind: "failed", error: "port 15008 is taken" });
  assert.equal(server.connected, 1);
  client.close();
  server.close();
});

test("the socket is root's alone, in a directory of root alone, whatever it was before", () => {
  chmodSync(folder, 0o755);
  const { server, path } = listen();
  assert.equal(statSync(path).mode & 0o777, 0o600);
  assert.equal(statSync(folder).mode & 0o777, 0o700);
  server.close();
});

test("a stranger is not told anything", async () => {
  const { server, refusals, path } = listen({
    snapshot: [{ request: ADD, fd: netnsFd }],
    refusal: "not the ztunnel pod",
  });
  const connection = await connectSeqpacket(path);
  await untilClosed(connection);
  assert.equal(refusals.of("zds-client"), 1);
  server.close();
});

for (const [name, bytes] of [
  ["garbage", Buffer.from([0xff, 0xff, 0xff])],
  ["an acknowledgement", Buffer.from(encodeZdsAck({ error: "" }))],
  ["an unknown version", Buffer.from([0x08, 0x63])],
] as const) {
  test(`${name} instead of a hello ends the connection before any pod is named`, async () => {
    const { server, refusals, path } = listen({ snapshot: [{ request: ADD, fd: netnsFd }] });
    const connection = await connectSeqpacket(path);
    await connection.send(bytes);
    await untilClosed(connection);
    assert.equal(server.connected, 0);
    assert.equal(refusals.of("zds-protocol"), 1);
    server.close();
  });
}

test("new pods go to the newest ztunnel, deletions to all; the end of one is noticed", async () => {
  const { server, path, ready, gone } = listen();
  const old = await ztunnel(path);
  await ready;
  const fresh = await ztunnel(path);
  while (server.connected < 2 || !fresh.seen.includes("snapshot-sent"))
    await new Promise((resolve) => setImmediate(resolve));
  await server.add(ADD, netnsFd);
  await server.broadcast({ kind: "delete", uid: podUid("u1") });
  assert.deepEqual(old.seen, ["snapshot-sent", "delete"]);
  assert.deepEqual(fresh.seen, ["snapshot-sent", "add", "delete"]);
  old.close();
  assert.equal(await gone, 1);
  fresh.close();
  server.close();
});

test("a ztunnel that speaks unasked is disconnected", async () => {
  const { server, path, ready } = listen();
  const connection = await connectSeqpacket(path);
  await connection.send(encodeZdsHello());
  await connection.receive(deadline(5_000));
  await connection.send(encodeZdsAck({ error: "" }));
  await ready;
  await connection.send(encodeZdsAck({ error: "" }));
  await untilClosed(connection);
  server.close();
});
