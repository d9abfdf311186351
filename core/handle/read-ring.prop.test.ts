/** A read into no room would never end, and memory that a queued write references must not be read into. */
import assert from "node:assert/strict";
import { it } from "node:test";
import fc from "fast-check";
import { pin, type PinnableBuffer, pinnedRingCount, ReadRing, unpin } from "./read-ring.ts";

/** Payload of a TLS record. */
const MIN_ROOM = 16 * 1024;

const step = fc.record({
  /** Of the room that there is. */
  share: fc.constantFrom(0, 1, 200, 16_384, 65_536),
  isDelivered: fc.boolean(),
  pins: fc.boolean(),
  unpins: fc.boolean(),
});

it("there is always room for a read, and what is pinned is never read into", () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 300 }), (steps) => {
      const ring = new ReadRing(() => undefined);
      const pinned: { readonly owner: PinnableBuffer; readonly view: Uint8Array }[] = [];
      let room = ring.next(0);
      for (const { share, isDelivered, pins, unpins } of steps) {
        assert.ok(room.length >= MIN_ROOM, `room for ${room.length} bytes`);
        const filled = Math.min(share, room.length);
        const view = room.subarray(0, filled);
        for (const each of pinned) assert.ok(!overlaps(each.view, view), "pinned memory was read into");
        if (pins && filled > 0) {
          pin(ring.current);
          pinned.push({ owner: ring.current, view });
        }
        if (unpins) {
          const oldest = pinned.shift();
          if (oldest !== undefined) unpin(oldest.owner);
        }
        ring.isDelivered = isDelivered;
        room = ring.next(filled);
      }
      for (const { owner } of pinned) unpin(owner);
      ring.release();
      assert.equal(pinnedRingCount(), 0);
    }),
  );
});

function overlaps(a: Uint8Array, b: Uint8Array): boolean {
  if (a.buffer !== b.buffer) return false;
  return a.byteOffset < b.byteOffset + b.length && b.byteOffset < a.byteOffset + a.length;
}
