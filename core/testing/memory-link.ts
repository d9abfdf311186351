/** Joins two handles in memory: what one writes the other reads, in pieces of the test's choice. */
import type { FakeHandle } from "./fake-handle.ts";
import { settle } from "./manual-clock.ts";

/** Moves bytes and ends both ways until both are quiet. `pieceBytes`: size of each read, again and again. */
export async function exchangeBytes(
  a: FakeHandle,
  b: FakeHandle,
  pieceBytes: () => number = () => 16_384,
): Promise<void> {
  const ended = new Set<FakeHandle>();
  for (let quiet = 0; quiet < 2;) {
    const moved = move(a, b, { pieceBytes, ended }) + move(b, a, { pieceBytes, ended });
    await settle();
    quiet = moved === 0 ? quiet + 1 : 0;
  }
}

interface Way {
  readonly pieceBytes: () => number;
  readonly ended: Set<FakeHandle>;
}

function move(from: FakeHandle, to: FakeHandle, { pieceBytes, ended }: Way): number {
  const bytes = from.take();
  for (let at = 0; at < bytes.length;) {
    const size = pieceBytes();
    to.feed(bytes.subarray(at, at + size));
    at += size;
  }
  if (from.isShutdown && !ended.has(from)) {
    ended.add(from);
    to.end();
  }
  if (from.wasReset && !ended.has(from)) {
    ended.add(from);
    to.drop();
  }
  return bytes.length;
}
