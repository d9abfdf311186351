/**
 * HOT PATH. The byte pipe under everything: one connected socket, plain or TLS, with two backends
 * (public node:net/node:tls, and raw libuv handles) that pass one conformance suite (`core/testing/handle-conformance.ts`).
 *
 * Contract
 * - Nothing is delivered before `start`, which is called once; bytes that arrive earlier are kept.
 *   A handle that will not be started must be `reset`.
 * - `onData` gets a view that is valid until `onData` returns, unless `start` was given `ReadBuffers`:
 *   then it stays valid until their owner hands the same memory out again.
 * - `write` never fails synchronously and never throws; a failed write ends in `onClose`.
 *   After it returns "sent" the bytes may be changed; after "queued" they belong to the handle until `onDrain`,
 *   except where `copiesOnWrite` is true: there they may always be changed at once.
 * - While something is queued, further writes are copied by the handle: callers look at `queuedBytes` first.
 * - `shutdown` sends FIN (for TLS: close_notify and FIN) after everything queued.
 * - `reset` ends at once and abnormally: the peer sees a RST (TLS: a transport without close_notify).
 * - `onClose` comes exactly once, last, also after `reset`; `error` is undefined only if both directions
 *   ended cleanly. Both directions ended: the handle closes itself.
 */
import type { SocketAddress } from "../net/socket-address.ts";

export type WriteResult = "sent" | "queued" | "closed";

export interface HandleEvents {
  onData(bytes: Uint8Array): void;
  /** The peer's FIN. For TLS this proves nothing: a truncated stream looks the same. */
  onEnd(): void;
  /** Everything queued has been handed to the kernel. */
  onDrain(): void;
  onClose(error: Error | undefined): void;
}

/**
 * Memory that a reader lends to its handle so that views outlive `onData`. A backend without control over its
 * read memory ignores it and gives out buffers of their own, which stay valid for ever.
 */
export interface ReadBuffers {
  /**
   * Where the next read goes. Called once by `start` with 0 and after each `onData` with the number of bytes
   * that were read. At least 16 KiB and not detached while the handle lives; only `next` may change it.
   */
  next(filled: number): Uint8Array;
}

export interface Handle {
  readonly local: SocketAddress;
  readonly remote: SocketAddress;
  /** Bytes accepted by `write` and not yet handed to the kernel. */
  readonly queuedBytes: number;
  readonly closed: boolean;
  /** True where `write` leaves nothing of the caller's memory referenced, whatever it returns. */
  readonly copiesOnWrite: boolean;
  /** What it runs in ends soon, or has ended: it is of no use for anything that begins anew. */
  readonly isLeaving?: boolean;
  start(events: HandleEvents, buffers?: ReadBuffers): void;
  write(bytes: Uint8Array): WriteResult;
  /** One gathered write of several pieces, in order; same rules. */
  writev(pieces: readonly Uint8Array[]): WriteResult;
  shutdown(): void;
  pause(): void;
  resume(): void;
  reset(): void;
}
