import assert from "node:assert/strict";
import { closeSync, fstatSync, mkdtempSync, openSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { deadline } from "../base/abort.ts";
import { decodeRights, encodeRights, sendMessage } from "./fd-passing.ts";
import { isErrno } from "./system-call-error.ts";
import { connectSeqpacket, listenSeqpacket, type SeqpacketConnection } from "./unix-seqpacket.ts";

const directory = mkdtempSync(join(tmpdir(), "ambit-seqpacket-"));
after(() => rmSync(directory, { recursive: true, force: true }));

async function pair(
  name: string,
  limits = {},
): Promise<{ a: SeqpacketConnection; b: SeqpacketConnection; close(): void }> {
  const path = join(directory, name);
  const accepted = Promise.withResolvers<SeqpacketConnection>();
  const listener = listenSeqpacket({ path, ...limits }, accepted.resolve);
  const a = await connectSeqpacket(path, limits);
  const b = await accepted.promise;
  return { a, b, close: () => [a, b, listener].forEach((x) => x.close()) };
}

test("a descriptor survives encoding and decoding; padding is ignored", () => {
  assert.deepEqual(decodeRights(encodeRights([7, 8, 9])), [7, 8, 9]);
  assert.deepEqual(decodeRights(Buffer.alloc(0)), []);
  assert.deepEqual(decodeRights(Buffer.alloc(15)), []);
  const wrongLength = encodeRights([1]);
  wrongLength.writeBigUInt64LE(4_000n, 0);
  assert.deepEqual(decodeRights(wrongLength), []);
});

test("message boundaries, descriptors and the peer's identity arrive", async () => {
  const { a, b, close } = await pair("fds");
  const file = openSync("/dev/null", "r");
  await a.send(Buffer.from("one"), [file]);
  await a.send(Buffer.from("two"));
  const first = await b.receive(deadline(2_000));
  const second = await b.receive(deadline(2_000));
  assert.equal(first?.bytes.toString(), "one");
  assert.equal(second?.bytes.toString(), "two");
  assert.equal(first?.fds.length, 1);
  assert.equal(fstatSync(first?.fds[0] ?? -1).rdev, fstatSync(file).rdev);
  assert.equal(b.peer.pid, process.pid);
  assert.equal(b.peer.uid, process.getuid?.());
  for (const fd of [file, ...(first?.fds ?? [])]) closeSync(fd);
  close();
});

test("receive waits for a message that comes later and for the end", async () => {
  const { a, b, close } = await pair("later");
  const waiting = b.receive(deadline(2_000));
  setImmediate(() => void a.send(Buffer.from("late")));
  assert.equal((await waiting)?.bytes.toString(), "late");
  const end = b.receive(deadline(2_000));
  a.close();
  assert.equal(await end, undefined);
  close();
});

test("an aborted receive loses nothing", async () => {
  const { a, b, close } = await pair("abort");
  await assert.rejects(b.receive(AbortSignal.timeout(1)), { name: "TimeoutError" });
  await a.send(Buffer.from("kept"));
  assert.equal((await b.receive(deadline(2_000)))?.bytes.toString(), "kept");
  close();
});

test("send waits while the peer's queue is full", async () => {
  const { a, b, close } = await pair("full", { maxBytes: 40_000 });
  const sends = Array.from({ length: 100 }, (_, i) => a.send(Buffer.alloc(30_000, i)));
  for (let i = 0; i < 100; i++) {
    const message = await b.receive(deadline(2_000));
    assert.equal(message?.bytes[0], i);
    assert.equal(message.bytes.length, 30_000);
  }
  await Promise.all(sends);
  close();
});

test("an oversize message or too many descriptors are refused and nothing leaks", async () => {
  const { a, b, close } = await pair("oversize", { maxBytes: 16 });
  await a.send(Buffer.alloc(17));
  await assert.rejects(b.receive(deadline(2_000)), (error) => isErrno(error, "EMSGSIZE"));
  await Promise.resolve();
  assert.equal(b.closed, true);
  close();
  const many = await pair("many", { maxFds: 1 });
  const file = openSync("/dev/null", "r");
  await many.a.send(Buffer.from("x"), Array<number>(20).fill(file));
  await assert.rejects(many.b.receive(deadline(2_000)), (error) => isErrno(error, "EMSGSIZE"));
  closeSync(file);
  many.close();
});

test("nobody listening, closed sockets and bad paths fail with a name", async () => {
  await assert.rejects(connectSeqpacket(join(directory, "absent")), (error) => isErrno(error, "ENOENT"));
  await assert.rejects(connectSeqpacket("/" + "x".repeat(200)), RangeError);
  const { a, b, close } = await pair("closed");
  const waiting = b.receive();
  b.close();
  await assert.rejects(waiting, (error) => isErrno(error, "ECONNABORTED"));
  await assert.rejects(a.send(Buffer.from("x")), (error) => isErrno(error, "EPIPE", "ECONNRESET"));
  assert.throws(
    () => sendMessage(-1, Buffer.from("x")),
    (error) => isErrno(error, "EBADF"),
  );
  close();
});
