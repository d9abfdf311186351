/** A handle around another one, which it is in everything that a subclass does not say otherwise. */
import type { SocketAddress } from "../net/socket-address.ts";
import type { Handle, HandleEvents, ReadBuffers, WriteResult } from "./handle.ts";

export abstract class WrappedHandle implements Handle {
  protected readonly inner: Handle;

  constructor(inner: Handle) {
    this.inner = inner;
  }

  get local(): SocketAddress {
    return this.inner.local;
  }

  get remote(): SocketAddress {
    return this.inner.remote;
  }

  get queuedBytes(): number {
    return this.inner.queuedBytes;
  }

  get closed(): boolean {
    return this.inner.closed;
  }

  get copiesOnWrite(): boolean {
    return this.inner.copiesOnWrite;
  }

  get isLeaving(): boolean {
    return this.inner.isLeaving === true;
  }

  start(events: HandleEvents, buffers?: ReadBuffers): void {
    this.inner.start(events, buffers);
  }

  write(bytes: Uint8Array): WriteResult {
    return this.inner.write(bytes);
  }

  writev(pieces: readonly Uint8Array[]): WriteResult {
    return this.inner.writev(pieces);
  }

  shutdown(): void {
    this.inner.shutdown();
  }

  pause(): void {
    this.inner.pause();
  }

  resume(): void {
    this.inner.resume();
  }

  reset(): void {
    this.inner.reset();
  }
}
