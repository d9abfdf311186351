/** HOT PATH. Joins two TCP connections: plaintext that passes through, and the short way within a node. */
import { BufferPool } from "../handle/buffer-pool.ts";
import type { Handle, HandleEvents, ReadBuffers } from "../handle/handle.ts";
import {
  appReset,
  type Ending,
  type Relay,
  relayAborted,
  RelayOutcome,
  type RelayResult,
} from "./relay-result.ts";

const small = new BufferPool(16 * 1024, 1_024);
const large = new BufferPool(128 * 1024, 64);
/** Short reads in a row after which a large buffer goes back. */
const SHORT_READS = 32;

/** Takes over both; neither must have been started. `bytesSent` counts from `a` to `b`. */
export function relayPlain(a: Handle, b: Handle): Relay {
  return new PlainRelay(a, b);
}

class PlainRelay implements Relay {
  readonly #outcome = new RelayOutcome();
  readonly #forward: Direction;
  readonly #back: Direction;
  #closed = 0;

  constructor(a: Handle, b: Handle) {
    this.#forward = new Direction(a, b, this);
    this.#back = new Direction(b, a, this);
    this.#forward.reverse = this.#back;
    this.#back.reverse = this.#forward;
    a.start(this.#forward, this.#forward);
    b.start(this.#back, this.#back);
  }

  get done(): Promise<RelayResult> {
    return this.#outcome.done;
  }

  whenDone(listener: (result: RelayResult) => void): void {
    this.#outcome.whenDone(listener);
  }

  get bytesSent(): number {
    return this.#forward.byteCount;
  }

  get bytesReceived(): number {
    return this.#back.byteCount;
  }

  get isAtRest(): boolean {
    const isQuiet = this.#forward.from.queuedBytes === 0 && this.#back.from.queuedBytes === 0;
    return isQuiet && this.#forward.answeredBytes < this.#back.byteCount;
  }

  abort(reason: string): void {
    this.break(relayAborted(reason));
  }

  close(reason: string): void {
    if (this.#outcome.isSettled) return;
    this.#forward.closing = this.#back.closing = relayAborted(reason);
    this.#forward.from.shutdown();
    this.#back.from.shutdown();
  }

  break(ending: Ending): void {
    if (this.#outcome.isSettled) return;
    this.#settle(ending);
    this.#forward.from.reset();
    this.#back.from.reset();
  }

  onClosed(isFirst: boolean, error: Error | undefined): void {
    if (++this.#closed === 2) {
      // Not before: a write queued on the one references what was read from the other.
      this.#forward.returnBuffer();
      this.#back.returnBuffer();
    }
    if (error === undefined) {
      if (this.#closed === 2) this.#settle(undefined);
      return;
    }
    const ending = appReset(error);
    this.break(isFirst ? ending : { ...ending, end: "reset-by-peer" });
  }

  isFirst(direction: Direction): boolean {
    return direction === this.#forward;
  }

  #settle(ending: Ending | undefined): void {
    const { bytesSent, bytesReceived } = this;
    this.#outcome.settle({ bytesSent, bytesReceived, ...(ending ?? { end: "clean" as const }) });
  }
}

/** One way: reads `from`, writes `to`; stops reading while `to` holds the read memory. */
class Direction implements HandleEvents, ReadBuffers {
  readonly from: Handle;
  readonly #to: Handle;
  readonly #relay: PlainRelay;
  reverse: Direction | undefined;
  byteCount = 0;
  /** What the other direction had carried when this one last did. */
  answeredBytes = -1;
  /** Set when the relay has told both sides an end. */
  closing: Ending | undefined;
  #buffer: Buffer = small.lend();
  #pool = small;
  #shortReads = 0;

  constructor(from: Handle, to: Handle, relay: PlainRelay) {
    this.from = from;
    this.#to = to;
    this.#relay = relay;
  }

  /** The memory may be used again: reading stops until a queued write is done. */
  next(filled: number): Uint8Array {
    if (filled === 0 || this.#to.queuedBytes > 0) return this.#buffer;
    if (this.#pool === small && filled === this.#buffer.length) this.#swap(large);
    else if (this.#pool === large) {
      this.#shortReads = filled < small.bufferBytes ? this.#shortReads + 1 : 0;
      if (this.#shortReads >= SHORT_READS) this.#swap(small);
    }
    return this.#buffer;
  }

  onData(bytes: Uint8Array): void {
    if (this.closing !== undefined) {
      this.#relay.break(this.closing);
      return;
    }
    this.byteCount += bytes.length;
    this.answeredBytes = this.reverse?.byteCount ?? 0;
    if (this.#to.write(bytes) === "queued") this.from.pause();
  }

  onEnd(): void {
    this.#to.shutdown();
  }

  /** What was queued on `from` came from the other direction, which may read again. */
  onDrain(): void {
    this.reverse?.from.resume();
  }

  onClose(error: Error | undefined): void {
    this.#relay.onClosed(this.#relay.isFirst(this), error);
  }

  #swap(pool: BufferPool): void {
    this.#pool.giveBack(this.#buffer);
    this.#pool = pool;
    this.#buffer = pool.lend();
    this.#shortReads = 0;
  }

  returnBuffer(): void {
    this.#pool.giveBack(this.#buffer);
  }
}
