/**
 * HOT PATH. Bytes that came while nobody wanted them, in blocks of one size: a sender of many tiny pieces costs no more
 * memory than one of large ones. Bounding the total is for the owner (a flow-control window).
 */
import { BufferPool } from "./buffer-pool.ts";

const BLOCK_BYTES = 16 * 1024;
const blocks = new BufferPool(BLOCK_BYTES, 256);

/** What all of a process, or a part of it, may keep so. Owners ask before they keep more: at the limit somebody must be given up. */
export class KeptLimit {
  readonly #totalBytes: number;
  readonly #above: KeptLimit | undefined;
  /** Blocks, full or not. */
  usedBytes = 0;

  /** `above` counts the same bytes, and others. */
  constructor(totalBytes: number = 256 * 1024 * 1024, above?: KeptLimit) {
    this.#totalBytes = totalBytes;
    this.#above = above;
  }

  get isReached(): boolean {
    return this.usedBytes >= this.#totalBytes || this.#above?.isReached === true;
  }

  add(byteCount: number): void {
    this.usedBytes += byteCount;
    this.#above?.add(byteCount);
  }
}

export const PROCESS_KEPT_LIMIT: KeptLimit = new KeptLimit();

export class KeptBytes {
  readonly #limit: KeptLimit;
  readonly #blocks: Buffer[] = [];
  /** First byte kept, in the first block. */
  #start = 0;
  /** Behind the last byte kept, in the last block. */
  #end = 0;
  length = 0;

  constructor(limit: KeptLimit = PROCESS_KEPT_LIMIT) {
    this.#limit = limit;
  }

  append(bytes: Uint8Array): void {
    for (let at = 0; at < bytes.length;) {
      if (this.#blocks.length === 0 || this.#end === BLOCK_BYTES) {
        this.#blocks.push(blocks.lend());
        this.#limit.add(BLOCK_BYTES);
        this.#end = 0;
      }
      const size = Math.min(bytes.length - at, BLOCK_BYTES - this.#end);
      (this.#blocks.at(-1) as Buffer).set(bytes.subarray(at, at + size), this.#end);
      this.#end += size;
      at += size;
    }
    this.length += bytes.length;
  }

  /** The oldest bytes, one block's worth at most; valid until the next `drop` or `clear`. Empty: nothing is kept. */
  peek(): Uint8Array {
    const first = this.#blocks[0];
    if (first === undefined) return EMPTY;
    return first.subarray(this.#start, this.#blocks.length === 1 ? this.#end : BLOCK_BYTES);
  }

  /** `byteCount` bytes of what `peek` gave are done with. */
  drop(byteCount: number): void {
    this.#start += byteCount;
    this.length -= byteCount;
    if (this.length > 0 && this.#start < BLOCK_BYTES) return;
    const first = this.#blocks.shift();
    if (first !== undefined) this.#giveBack(first);
    this.#start = 0;
  }

  clear(): void {
    for (const block of this.#blocks) this.#giveBack(block);
    this.#blocks.length = 0;
    this.#start = 0;
    this.length = 0;
  }

  #giveBack(block: Buffer): void {
    this.#limit.add(-BLOCK_BYTES);
    blocks.giveBack(block);
  }
}

const EMPTY = new Uint8Array(0);
