import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { describe, it } from "node:test";
import { chooseBackend } from "../handle/choose-handle.ts";
import { handlePair } from "../testing/handle-pair.ts";
import { RecordingEvents } from "../testing/recording-events.ts";
import { relayPlain } from "./relay-plain.ts";

for (const wanted of ["public", "raw"] as const) {
  const backend = chooseBackend({ wanted });
  describe(`TCP to TCP: ${wanted}`, () => {
    const open = async () => {
      const [near, far] = await Promise.all([handlePair({ backend }), handlePair({ backend })]);
      const relay = relayPlain(near.server, far.client);
      return {
        relay,
        near: new RecordingEvents(near.client),
        far: new RecordingEvents(far.server),
        a: near.client,
        b: far.server,
      };
    };

    it("carries bytes both ways at once and each FIN by itself", async () => {
      const { relay, near, far, a, b } = await open();
      const [up, down] = [randomBytes(5 << 20), randomBytes(3 << 20)];
      await Promise.all([near.writeAll(up, 40_000).then(() => a.shutdown()), far.writeAll(down, 7_000)]);
      await far.ended;
      assert.equal(a.closed, false);
      b.shutdown();
      await Promise.all([near.closed, far.closed]);
      assert.ok(far.bytes().equals(up) && near.bytes().equals(down));
      assert.deepEqual(await relay.done, { bytesSent: up.length, bytesReceived: down.length, end: "clean" });
    });

    it("waits for a slow reader instead of keeping its bytes", async () => {
      const { relay, near, far, a, b } = await open();
      b.pause();
      const sent = randomBytes(32 << 20);
      const writing = near.writeAll(sent, 1 << 20).then(() => a.shutdown());
      await new Promise((resolve) => setTimeout(resolve, 200));
      assert.ok(a.queuedBytes > 0, "the sender is held up");
      b.resume();
      await writing;
      await far.ended;
      b.shutdown();
      assert.ok(far.bytes().equals(sent));
      assert.equal((await relay.done).end, "clean");
    });

    it("carries a RST either way, and an abort to both", async () => {
      for (const who of ["a", "b"] as const) {
        const pair = await open();
        pair[who].reset();
        await Promise.all([pair.near.closed, pair.far.closed]);
        const other = who === "a" ? pair.far : pair.near;
        assert.equal((other.error as NodeJS.ErrnoException).code, "ECONNRESET");
        assert.equal((await pair.relay.done).end, who === "a" ? "reset-by-app" : "reset-by-peer");
      }
      const { relay, near, far } = await open();
      relay.abort("policy changed");
      await Promise.all([near.closed, far.closed]);
      assert.ok(near.error !== undefined && far.error !== undefined);
      const { end, error } = await relay.done;
      assert.deepEqual([end, error?.message], ["closed-by-policy", "policy changed"]);
    });
  });
}
