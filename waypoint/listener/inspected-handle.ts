/**
 * A caller's side of a plain connection whose first bytes are looked at before they pass: where a policy denies HTTP alone, a connection that was
 * judged as one must not turn out to be HTTP. Bytes to the caller pass meanwhile, so that the server may speak first.
 */
import type { Clock } from "#core/base/clock.ts";
import type { Handle, HandleEvents, WriteResult } from "#core/handle/handle.ts";
import type { SocketAddress } from "#core/net/socket-address.ts";
import { readFirstBytes } from "./first-bytes.ts";

export interface InspectionOptions {
  readonly clock: Clock;
  /** What has begun and may still become HTTP waits so long for its rest. */
  readonly firstBytesMs: number;
  /** Called instead of passing the bytes on; the connection is reset. */
  readonly onHttp: () => void;
}

export class InspectedHandle implements Handle, HandleEvents {
  readonly #inner: Handle;
  readonly #options: InspectionOptions;
  #events: HandleEvents | undefined;
  #kept: Buffer | undefined = Buffer.alloc(0);
  #cancelTimer: () => void = noTimer;

  constructor(inner: Handle, options: InspectionOptions) {
    this.#inner = inner;
    this.#options = options;
  }

  get local(): SocketAddress {
    return this.#inner.local;
  }

  get remote(): SocketAddress {
    return this.#inner.remote;
  }

  get queuedBytes(): number {
    return this.#inner.queuedBytes;
  }

  get closed(): boolean {
    return this.#inner.closed;
  }

  get copiesOnWrite(): boolean {
    return this.#inner.copiesOnWrite;
  }

  /** Read memory is not borrowed: what is given out stays valid. */
  start(events: HandleEvents): void {
    this.#events = events;
    this.#inner.start(this);
  }

  write(bytes: Uint8Array): WriteResult {
    return this.#inner.write(bytes);
  }

  writev(pieces: readonly Uint8Array[]): WriteResult {
    return this.#inner.writev(pieces);
  }

  shutdown(): void {
    this.#inner.shutdown();
  }

  pause(): void {
    this.#inner.pause();
  }

  resume(): void {
    this.#inner.resume();
  }

  reset(): void {
    this.#cancelTimer();
    this.#inner.reset();
  }

  onData(bytes: Uint8Array): void {
    if (this.#kept === undefined) {
      this.#events?.onData(Buffer.from(bytes));
      return;
    }
    this.#kept = Buffer.concat([this.#kept, bytes]);
    this.#judge(this.#kept);
  }

  onEnd(): void {
    // What may have become HTTP and ended is none.
    this.#pass();
    this.#events?.onEnd();
  }

  onDrain(): void {
    this.#events?.onDrain();
  }

  onClose(error: Error | undefined): void {
    this.#cancelTimer();
    this.#events?.onClose(error);
  }

  #judge(kept: Buffer): void {
    const { clock, firstBytesMs } = this.#options;
    const verdict = readFirstBytes(kept);
    if (verdict === "other" || verdict === "tls") this.#pass();
    else if (verdict !== "more") this.#refuse();
    else if (this.#cancelTimer === noTimer) {
      this.#cancelTimer = clock.after(firstBytesMs, () => this.#refuse());
    }
  }

  #pass(): void {
    const kept = this.#kept;
    this.#kept = undefined;
    this.#cancelTimer();
    if (kept !== undefined && kept.length > 0) this.#events?.onData(kept);
  }

  #refuse(): void {
    if (this.#kept === undefined) return;
    this.#kept = Buffer.alloc(0);
    this.#options.onHttp();
  }
}

const noTimer = (): void => undefined;
