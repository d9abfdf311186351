/** HOT PATH. `Handle` on node:net and node:tls sockets: only documented API, right everywhere, the oracle of the raw one. */
import type { Socket } from "node:net";
import type { SocketAddress } from "../net/socket-address.ts";
import type { Handle, HandleEvents, WriteResult } from "./handle.ts";
import { callbackError, resetError } from "./handle-errors.ts";
import { wrapAddress } from "./wrap-address.ts";

export interface PublicHandleParts {
  /** Paused, allowHalfOpen. */
  readonly socket: Socket;
  /** Below a TLS socket: where a reset goes. */
  readonly transport?: Socket;
}

export class PublicHandle implements Handle {
  readonly local: SocketAddress;
  readonly remote: SocketAddress;
  readonly copiesOnWrite = false;
  closed = false;

  readonly socket: Socket;
  readonly #transport: Socket;
  #events: HandleEvents | undefined;
  #error: Error | undefined;
  #socketClosed = false;
  #closeReported = false;
  #drainDue = false;
  #shutdown = false;
  #finished = false;

  constructor({ socket, transport = socket }: PublicHandleParts) {
    this.socket = socket;
    this.#transport = transport;
    this.local = wrapAddress(transport.localAddress, transport.localPort);
    this.remote = wrapAddress(transport.remoteAddress, transport.remotePort);
    socket.on("error", (error) => {
      this.#error ??= error;
    });
    socket.once("finish", () => {
      this.#finished = true;
    });
    socket.once("close", () => this.#onClosed());
  }

  /** Another object ends and reads this connection from now on (TLS on top): this one is dead. */
  handOver(): Socket {
    this.closed = true;
    return this.socket;
  }

  get queuedBytes(): number {
    return this.#socketClosed ? 0 : this.socket.writableLength;
  }

  start(events: HandleEvents): void {
    this.#events = events;
    if (this.#socketClosed) {
      process.nextTick(() => this.#reportClose());
      return;
    }
    this.socket.on("data", (bytes: Buffer) => this.#call(() => events.onData(bytes)));
    this.socket.once("end", () => this.#call(() => events.onEnd()));
    this.socket.resume();
  }

  write(bytes: Uint8Array): WriteResult {
    if (this.closed || this.#shutdown) return "closed";
    const isQueued = this.socket.writableLength > 0;
    this.socket.write(isQueued ? Buffer.from(bytes) : bytes, this.#onWritten);
    return this.#writeResult();
  }

  writev(pieces: readonly Uint8Array[]): WriteResult {
    if (this.closed || this.#shutdown) return "closed";
    const isQueued = this.socket.writableLength > 0;
    this.socket.cork();
    for (const piece of pieces) this.socket.write(isQueued ? Buffer.from(piece) : piece, this.#onWritten);
    this.socket.uncork();
    return this.#writeResult();
  }

  shutdown(): void {
    if (this.closed || this.#shutdown) return;
    this.#shutdown = true;
    this.socket.end();
  }

  pause(): void {
    if (!this.closed) this.socket.pause();
  }

  resume(): void {
    if (!this.closed && this.#events !== undefined) this.socket.resume();
  }

  reset(): void {
    this.#fail(resetError());
  }

  #fail(error: Error): void {
    if (this.closed) return;
    this.closed = true;
    this.#error ??= error;
    const isShutting = this.#shutdown && !this.#finished && this.socket.writableLength === 0;
    if (isShutting && this.#transport === this.socket) {
      // A reset during a pending shutdown fails and leaks the socket; the shutdown ends within a loop turn.
      this.socket.once("finish", () => this.socket.resetAndDestroy());
      return;
    }
    // Below TLS the transport's own close destroys the TLS socket; destroying both here crashes the process.
    if (isShutting) this.socket.destroy();
    else this.#transport.resetAndDestroy();
  }

  #writeResult(): WriteResult {
    if (this.socket.destroyed) return "closed";
    if (this.socket.writableLength === 0) return "sent";
    this.#drainDue = true;
    return "queued";
  }

  readonly #onWritten = (): void => {
    if (!this.#drainDue || this.closed || this.socket.destroyed || this.socket.writableLength > 0) return;
    this.#drainDue = false;
    this.#call(() => this.#events?.onDrain());
  };

  #call(callback: () => void): void {
    if (this.closed) return;
    try {
      callback();
    } catch (error) {
      this.#fail(callbackError(error));
    }
  }

  #onClosed(): void {
    this.#socketClosed = true;
    this.closed = true;
    this.#reportClose();
  }

  #reportClose(): void {
    if (this.#closeReported || this.#events === undefined) return;
    this.#closeReported = true;
    const isClean = this.#error === undefined && this.socket.readableEnded && this.#finished;
    this.#events.onClose(isClean ? undefined : (this.#error ?? resetError()));
  }
}
