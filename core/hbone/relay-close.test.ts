/** A relay that is ended in order: at rest or not, what both sides see, and what is sent after it. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { chooseBackend } from "../handle/choose-handle.ts";
import { handlePair } from "../testing/handle-pair.ts";
import { RecordingEvents } from "../testing/recording-events.ts";
import type { HboneStream, HboneStreamEvents } from "./hbone-stream.ts";
import { relay, relayPlain } from "./relay.ts";

class FakeStream implements HboneStream {
  isOpen = true;
  events: HboneStreamEvents | undefined;
  readonly calls: string[] = [];
  start(events: HboneStreamEvents): void {
    this.events = events;
  }
  write(bytes: Uint8Array): "more" {
    this.calls.push(Buffer.from(bytes).toString());
    return "more";
  }
  end(): void {
    if (!this.calls.includes("end")) this.calls.push("end");
  }
  reset(): void {
    this.calls.push("reset");
  }
  consumed(): void {
    // Flow control is no concern here.
  }
  receive(text: string): void {
    this.events?.onTunnelData([Buffer.from(text)], text.length);
  }
}

for (const wanted of ["public", "raw"] as const) {
  const backend = chooseBackend({ wanted });

  describe(`TCP to tunnel: ${wanted}`, () => {
    const open = async () => {
      const pair = await handlePair({ backend });
      const stream = new FakeStream();
      const app = new RecordingEvents(pair.client);
      return { stream, app, socket: pair.client, relay: relay(pair.server, stream) };
    };

    it("is at rest before anything was sent, and when what was sent has been answered", async () => {
      const { stream, app, socket, relay: it } = await open();
      assert.equal(it.isAtRest, true);
      stream.isOpen = false;
      assert.equal(it.isAtRest, false, "the tunnel is not there yet");
      stream.isOpen = true;
      socket.write(Buffer.from("question"));
      await until(() => stream.calls.length > 0);
      assert.equal(it.isAtRest, false, "a question is out");
      stream.receive("answer");
      await until(() => app.byteCount === 6);
      assert.equal(it.isAtRest, true);
      it.abort("over");
      await it.done;
    });

    it("tells both sides an end; its result is clean when both agree", async () => {
      const { stream, app, socket, relay: it } = await open();
      it.close("moved");
      await app.ended;
      assert.deepEqual(stream.calls, ["end"]);
      socket.shutdown();
      stream.events?.onTunnelEnd();
      await app.closed;
      assert.equal(app.error, undefined);
      assert.equal((await it.done).end, "clean");
    });

    it("passes nothing on that comes after it", async () => {
      const { stream, app, socket, relay: it } = await open();
      it.close("moved");
      await app.ended;
      socket.write(Buffer.from("late"));
      assert.equal((await it.done).end, "closed-by-policy");
      assert.deepEqual(stream.calls, ["end", "reset"]);
      socket.reset();
      await app.closed;
    });
  });

  describe(`TCP to TCP: ${wanted}`, () => {
    const open = async () => {
      const [near, far] = await Promise.all([handlePair({ backend }), handlePair({ backend })]);
      return {
        relay: relayPlain(near.server, far.client),
        near: new RecordingEvents(near.client),
        far: new RecordingEvents(far.server),
        a: near.client,
        b: far.server,
      };
    };

    it("is at rest before anything was sent, and when what was sent has been answered", async () => {
      const { relay: it, near, far, a, b } = await open();
      assert.equal(it.isAtRest, true);
      a.write(Buffer.from("question"));
      await until(() => far.byteCount === 8);
      assert.equal(it.isAtRest, false);
      b.write(Buffer.from("answer"));
      await until(() => near.byteCount === 6);
      assert.equal(it.isAtRest, true);
      it.abort("over");
      await it.done;
    });

    it("tells both sides an end; its result is clean when both agree", async () => {
      const { relay: it, near, far, a, b } = await open();
      it.close("moved");
      await Promise.all([near.ended, far.ended]);
      a.shutdown();
      b.shutdown();
      await Promise.all([near.closed, far.closed]);
      assert.equal((await it.done).end, "clean");
    });

    it("passes nothing on that comes after it, from either side", async () => {
      for (const side of ["a", "b"] as const) {
        const pair = await open();
        pair.relay.close("moved");
        await Promise.all([pair.near.ended, pair.far.ended]);
        pair[side].write(Buffer.from("late"));
        assert.equal((await pair.relay.done).end, "closed-by-policy");
        const other = side === "a" ? pair.far : pair.near;
        assert.equal(other.bytes().length, 0);
        pair.a.reset();
        pair.b.reset();
        await Promise.all([pair.near.closed, pair.far.closed]);
      }
    });
  });
}

async function until(holds: () => boolean): Promise<void> {
  while (!holds()) await new Promise((resolve) => setImmediate(resolve));
}
