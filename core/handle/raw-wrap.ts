/**
 * HOT PATH. Callbacks of a libuv wrap without closures: the wrap knows its owner, and lets go of it once it is closed,
 * since C++ keeps wraps until the next full collection (see `raw-requests.ts`).
 */
import type { SocketAddress } from "../net/socket-address.ts";
import type { RawBindings, StreamWrap } from "./raw-bindings.ts";

export interface WrapOwner {
  /** A read finished. Returns the next buffer, or undefined to keep the present one. */
  onRead(): Uint8Array | undefined;
  onWrapClosed(): void;
}

const OWNER = Symbol("raw stream");

export interface OwnedWrap extends StreamWrap {
  [OWNER]?: WrapOwner | undefined;
}

/** Called with the closed wrap as `this`. */
export type WrapClosed = (this: StreamWrap) => void;

/** How the connection under the wrap is ended; `done` is called once the wrap is closed. */
export interface RawTerminator {
  close(wrap: StreamWrap, done: WrapClosed): void;
  reset(wrap: StreamWrap, done: WrapClosed): void;
  /** A plain socket cannot be reset while its shutdown is under way (EINVAL, and it leaks): wait for it. */
  readonly resetWaitsForShutdown: boolean;
}

/** What a handle is made of. */
export interface RawStreamParts {
  readonly bindings: RawBindings;
  readonly wrap: StreamWrap;
  readonly terminator: RawTerminator;
  readonly local: SocketAddress;
  readonly remote: SocketAddress;
  readonly copiesOnWrite: boolean;
}

export function ownWrap(wrap: OwnedWrap, owner: WrapOwner): void {
  wrap[OWNER] = owner;
}

/** `onread` of every wrap. */
export function readWrap(this: OwnedWrap): Uint8Array | undefined {
  return this[OWNER]?.onRead();
}

/** `done` of every terminator. */
export function closedWrap(this: OwnedWrap): void {
  const owner = this[OWNER];
  this[OWNER] = undefined;
  owner?.onWrapClosed();
}
