/**
 * HOT PATH. Read memory of one connection whose views outlive `onData`: a small buffer while little comes, a large one,
 * lent from a pool, while much does. Memory that a queued write still references is pinned: it is replaced and comes
 * back when it is released. Pinned memory counts in full, whatever the number of bytes that pin it.
 */
import type { ReadBuffers } from "./handle.ts";
import { BufferPool } from "./buffer-pool.ts";

const RING_BYTES = 1024 * 1024;
const SMALL_BYTES = 32 * 1024;
/** Room that a read must find: a TLS record and more. */
const MIN_ROOM = 20 * 1024;
/** Payload of a full TLS record, the most that one read brings. */
const RECORD_BYTES = 16 * 1024;
/** A read of a full TLS record: the connection carries bulk. */
const BULK_READ = 16_000;
/** Short reads in a row after which a large buffer goes back. */
const SHORT_READS = 64;

const rings = new BufferPool(RING_BYTES, 16);
const smalls = new BufferPool(SMALL_BYTES, 256);

/** One lent buffer with the number of deliveries that reference it. */
export interface PinnableBuffer {
  readonly bytes: Buffer;
  readonly pool: BufferPool;
  /** Where each record of bulk goes; made once per ring, because bulk makes tens of thousands of reads a second. */
  readonly slots: readonly Uint8Array[];
  pins: number;
  /** No longer read into. */
  retired: boolean;
}

const NO_SLOTS: readonly Uint8Array[] = [];
const ringSlots = new WeakMap<Buffer, readonly Uint8Array[]>();
let pinnedRings = 0;

/** Large buffers of the process that are kept alive by queued writes alone. */
export function pinnedRingCount(): number {
  return pinnedRings;
}

export class ReadRing implements ReadBuffers {
  readonly #flush: () => void;
  #current: PinnableBuffer = lend(smalls);
  #base = 0;
  #shortReads = 0;

  /** `flush` must hand on everything that still points into the ring; afterwards only pins protect memory. */
  constructor(flush: () => void) {
    this.#flush = flush;
  }

  /** The buffer of the latest read. */
  get current(): PinnableBuffer {
    return this.#current;
  }

  next(filled: number): Uint8Array {
    this.#base += filled;
    const { pool, pins } = this.#current;
    if (pool === smalls && filled >= BULK_READ) {
      this.#flush();
      this.#swap(rings);
    } else if (this.#base + MIN_ROOM > pool.bufferBytes) {
      this.#flush();
      if (this.#current.pins > 0) this.#swap(pool);
      this.#base = 0;
    } else if (this.#isResting(filled)) {
      this.#flush();
      this.#swap(smalls);
    } else if (pins === 0 && this.isDelivered) {
      this.#base = 0;
    }
    return this.#current.slots[this.#base / RECORD_BYTES] ?? this.#current.bytes.subarray(this.#base);
  }

  /** Set by the owner: nothing undelivered points into the ring. */
  isDelivered = true;

  /** Call when the connection is closed for good and nothing is read any more. */
  release(): void {
    retire(this.#current);
  }

  #isResting(filled: number): boolean {
    if (this.#current.pool === smalls) return false;
    this.#shortReads = filled < BULK_READ ? this.#shortReads + 1 : 0;
    return this.#shortReads >= SHORT_READS;
  }

  #swap(pool: BufferPool): void {
    retire(this.#current);
    this.#current = lend(pool);
    this.#base = 0;
    this.#shortReads = 0;
  }
}

export function pin(buffer: PinnableBuffer): void {
  buffer.pins++;
}

export function unpin(buffer: PinnableBuffer): void {
  buffer.pins--;
  if (buffer.pins > 0 || !buffer.retired) return;
  if (buffer.pool === rings) pinnedRings--;
  buffer.pool.giveBack(buffer.bytes);
}

function lend(pool: BufferPool): PinnableBuffer {
  const bytes = pool.lend();
  return { bytes, pool, slots: pool === rings ? slotsOf(bytes) : NO_SLOTS, pins: 0, retired: false };
}

function slotsOf(ring: Buffer): readonly Uint8Array[] {
  let slots = ringSlots.get(ring);
  if (slots === undefined) {
    slots = Array.from({ length: RING_BYTES / RECORD_BYTES }, (_, i) =>
      ring.subarray(i * RECORD_BYTES, (i + 1) * RECORD_BYTES),
    );
    ringSlots.set(ring, slots);
  }
  return slots;
}

function retire(buffer: PinnableBuffer): void {
  if (buffer.retired) return;
  buffer.retired = true;
  if (buffer.pins === 0) buffer.pool.giveBack(buffer.bytes);
  else if (buffer.pool === rings) pinnedRings++;
}
