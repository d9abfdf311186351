/** The part of the contract of `handle.ts` that is about how connections end. */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { readdirSync, readlinkSync } from "node:fs";
import { it } from "node:test";
import type { Handle } from "../handle/handle.ts";
import type { OpenPair } from "./handle-pair.ts";
import { RecordingEvents, turns } from "./recording-events.ts";

export function endings(open: OpenPair, isTls: boolean): void {
  it("leaves the other direction open after a FIN", async () => {
    const { client, server } = await open();
    const atClient = new RecordingEvents(client);
    const atServer = new RecordingEvents(server);
    client.write(Buffer.from("question"));
    client.shutdown();
    await atServer.ended;
    const answer = randomBytes(2 << 20);
    await atServer.writeAll(answer, 100_000);
    assert.equal(client.closed, false);
    server.shutdown();
    await Promise.all([atClient.closed, atServer.closed]);
    assert.ok(atClient.bytes().equals(answer));
    assert.deepEqual([atClient.error, atServer.error], [undefined, undefined]);
    assert.deepEqual([client.closed, server.closed], [true, true]);
  });

  it("shows a reset as an error, never as a clean end", async () => {
    const { client, server } = await open();
    const atClient = new RecordingEvents(client);
    const atServer = new RecordingEvents(server);
    server.write(randomBytes(100));
    server.reset();
    await seesLoss(client, atClient, isTls);
    await atServer.closed;
    assert.ok(atServer.error instanceof Error);
  });

  it("resets with writes queued, with a shutdown pending, and twice", async () => {
    const { client, server } = await open();
    const atServer = new RecordingEvents(server);
    const atClient = new RecordingEvents(client);
    server.pause();
    client.write(Buffer.alloc(24 << 20));
    client.shutdown();
    client.reset();
    client.reset();
    await atClient.closed;
    server.resume();
    await seesLoss(server, atServer, isTls);
    assert.ok(atServer.byteCount < 24 << 20);
  });

  it("resets right after a shutdown without leaking the socket", async () => {
    const before = openSockets();
    for (let i = 0; i < 20; i++) {
      const { client, server } = await open();
      const atServer = new RecordingEvents(server);
      const atClient = new RecordingEvents(client);
      client.shutdown();
      client.reset();
      await atClient.closed;
      await atServer.ended;
      server.reset();
      await atServer.closed;
    }
    await turns(5);
    assert.ok(openSockets() <= before, `${openSockets()} sockets open, ${before} before`);
  });

  it("reports the close once, also to a late start", async () => {
    const { client, server } = await open();
    server.reset();
    await turns(20);
    const atServer = new RecordingEvents(server);
    const atClient = new RecordingEvents(client);
    await atClient.ended;
    client.reset();
    await Promise.all([atServer.closed, atClient.closed]);
    await turns(20);
    assert.deepEqual([atServer.closeCount, atClient.closeCount], [1, 1]);
  });
}

/** Below TLS a RST may be taken by a write and then look like an end; it never looks like a clean close. */
async function seesLoss(handle: Handle, events: RecordingEvents, isTls: boolean): Promise<void> {
  await events.ended;
  if (!isTls) assert.equal(events.hasEnded, false);
  else handle.reset();
  await events.closed;
  assert.ok(events.error instanceof Error);
}

function openSockets(): number {
  return readdirSync("/proc/self/fd").filter((fd) => {
    try {
      return readlinkSync(`/proc/self/fd/${fd}`).startsWith("socket:");
    } catch {
      return false;
    }
  }).length;
}
