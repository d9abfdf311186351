/**
 * HOT PATH. The byte pipe under everything: one connected socket, plain or TLS, with two backends
 * (public node:net/node:tls, and raw libuv handles) that pass one conformance suite.
 *
 * Contract
 * - `start` is called once, in the same tick in which the handle was received; nothing is read before.
 * - `onData` gets a view that is valid until `onData` returns, unless the reader is a `ReadRegion`
 *   (see `useReadRegion`), in which case it stays valid until its owner reuses the region.
 * - `write` never fails synchronously and never throws; a failed write ends in `onClose`.
 *   After it returns "sent" the bytes may be changed; after "queued" they belong to the handle until `onDrain`.
 * - While something is queued, further writes are copied by the handle: callers look at `queuedBytes`.
 * - `shutdown` sends FIN (for TLS: close_notify and FIN) after everything queued.
 * - `reset` ends at once and abnormally: the peer sees a RST (TLS: a transport without close_notify).
 * - `onClose` comes exactly once, last, also after `reset`; `error` is undefined only if both directions ended cleanly.
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

export interface Handle {
  readonly local: SocketAddress;
  readonly remote: SocketAddress;
  /** Bytes accepted by `write` and not yet handed to the kernel. */
  readonly queuedBytes: number;
  readonly closed: boolean;
  start(events: HandleEvents): void;
  write(bytes: Uint8Array): WriteResult;
  /** One gathered write of several pieces, in order; same rules. */
  writev(pieces: readonly Uint8Array[]): WriteResult;
  shutdown(): void;
  pause(): void;
  resume(): void;
  reset(): void;
}
