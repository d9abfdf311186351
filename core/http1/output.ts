/**
 * HOT PATH. Bytes on their way to a handle. Heads, chunk marks and small pieces of one turn are gathered and leave in one write, at the latest when
 * the turn's microtasks run; large pieces leave at once, behind what was gathered. Memory is lent while something waits and given back.
 */
import { BufferPool } from "../handle/buffer-pool.ts";
import type { Handle } from "../handle/handle.ts";
import { MAX_BACKLOG_BYTES } from "./http1-limits.ts";

const BLOCK_BYTES = 16 * 1024;
const blocks = new BufferPool(BLOCK_BYTES, 256);

export class Output {
  readonly #handle: Handle;
  #block: Buffer | undefined;
  #length = 0;
  /** Blocks that belong to the handle until it has drained. */
  readonly #lent: Buffer[] = [];
  #isScheduled = false;
  readonly #flushTask = (): void => this.flush();
  /** A writer was told to pause and waits. */
  wantsDrain = false;
  /** Bytes handed to the handle so far. */
  handedOver = 0;

  constructor(handle: Handle) {
    this.#handle = handle;
  }

  /** Not yet with the kernel, or the tunnel. */
  get backlog(): number {
    return this.#length + this.#handle.queuedBytes;
  }

  /** What a body writer tells its source. */
  pressure(): "more" | "pause" {
    if (this.backlog < MAX_BACKLOG_BYTES) return "more";
    this.flush();
    if (this.#handle.queuedBytes < MAX_BACKLOG_BYTES) return "more";
    this.wantsDrain = true;
    return "pause";
  }

  /** Latin-1. */
  text(text: string): void {
    if (text.length > BLOCK_BYTES) {
      this.flush();
      this.#hand(Buffer.from(text, "latin1"));
      return;
    }
    if (this.#block !== undefined && this.#length + text.length > BLOCK_BYTES) this.flush();
    const block = (this.#block ??= blocks.lend());
    this.#length += block.write(text, this.#length, "latin1");
    this.#schedule();
  }

  /** `suffix` follows at once: a constant. */
  bytes(bytes: Uint8Array, suffix?: Uint8Array): void {
    const size = bytes.length + (suffix?.length ?? 0);
    if (size <= BLOCK_BYTES - this.#length) {
      this.#copy(bytes);
      if (suffix !== undefined) this.#copy(suffix);
      this.#schedule();
      return;
    }
    if (this.#handle.copiesOnWrite) this.#through(bytes, suffix);
    else this.#copyThrough(bytes, suffix);
  }

  flush(): void {
    this.#isScheduled = false;
    const block = this.#block;
    if (block === undefined) return;
    const { length } = this.#handle.closed ? EMPTY : block.subarray(0, this.#length);
    this.#block = undefined;
    this.#length = 0;
    const result = length === 0 ? "sent" : this.#hand(block.subarray(0, length));
    if (result === "queued" && !this.#handle.copiesOnWrite) this.#lent.push(block);
    else blocks.giveBack(block);
  }

  /** The handle holds nothing any more: from its `onDrain`. */
  drained(): void {
    for (const block of this.#lent) blocks.giveBack(block);
    this.#lent.length = 0;
  }

  #hand(bytes: Uint8Array): "sent" | "queued" | "closed" {
    const result = this.#handle.write(bytes);
    if (result !== "closed") this.handedOver += bytes.length;
    return result;
  }

  #through(bytes: Uint8Array, suffix: Uint8Array | undefined): void {
    const pieces = suffix === undefined ? [bytes] : [bytes, suffix];
    const block = this.#block;
    if (block !== undefined) pieces.unshift(block.subarray(0, this.#length));
    this.#block = undefined;
    this.#length = 0;
    const result = pieces.length === 1 ? this.#handle.write(bytes) : this.#handle.writev(pieces);
    if (result !== "closed") for (const piece of pieces) this.handedOver += piece.length;
    if (block !== undefined) blocks.giveBack(block);
  }

  /** The view ends with this call and the handle may keep what it is given: it gets blocks of ours. */
  #copyThrough(bytes: Uint8Array, suffix: Uint8Array | undefined): void {
    for (let at = 0; at < bytes.length;) {
      const size = Math.min(bytes.length - at, BLOCK_BYTES - this.#length);
      this.#copy(bytes.subarray(at, at + size));
      at += size;
      if (this.#length === BLOCK_BYTES) this.flush();
    }
    if (suffix !== undefined && suffix.length > BLOCK_BYTES - this.#length) this.flush();
    if (suffix !== undefined) this.#copy(suffix);
    this.#schedule();
  }

  #copy(bytes: Uint8Array): void {
    const block = (this.#block ??= blocks.lend());
    block.set(bytes, this.#length);
    this.#length += bytes.length;
  }

  #schedule(): void {
    if (this.#isScheduled) return;
    this.#isScheduled = true;
    queueMicrotask(this.#flushTask);
  }
}

const EMPTY = new Uint8Array(0);
