/**
 * SOCK_SEQPACKET unix sockets with descriptor passing, which Node's streams cannot do. Readiness comes from the event
 * loop's own poll: nothing is polled in a loop and no thread blocks.
 * Each connection reads one message at a time, when asked (`receive`), so that a slow owner slows the sender.
 */
import { chmodSync, closeSync, rmSync } from "node:fs";
import { type FdMessage, receiveMessage, sendMessage } from "./fd-passing.ts";
import { check, errno, libc, pollFd, type PollHandle } from "./libc.ts";
import { type PeerCredentials, peerCredentials, peerPidfd } from "./peer-credentials.ts";
import { AF_UNIX, encodeUnixAddress } from "./socket-encoding.ts";
import { errnoName, isErrno, SystemCallError } from "./system-call-error.ts";

export type { FdMessage } from "./fd-passing.ts";
export type { PeerCredentials } from "./peer-credentials.ts";

export interface SeqpacketConnection {
  readonly peer: PeerCredentials;
  readonly closed: boolean;
  /** A pidfd of the peer (the caller closes it), where the kernel has SO_PEERPIDFD. */
  peerPidfd(): number | undefined;
  /** Resolves when the kernel has the message; waits while the peer's queue is full. The fds stay the caller's. */
  send(bytes: Uint8Array, fds?: readonly number[], signal?: AbortSignal): Promise<void>;
  /**
   * The next message; undefined when the peer closed. The received fds are the caller's to close. Rejects with the
   * signal's reason, or EMSGSIZE when the peer sent more than the limits (the connection is closed then).
   * One call at a time.
   */
  receive(signal?: AbortSignal): Promise<FdMessage | undefined>;
  close(): void;
}

export interface SeqpacketListener {
  readonly path: string;
  close(): void;
}

export interface SeqpacketLimits {
  readonly maxBytes?: number;
  readonly maxFds?: number;
}

export interface SeqpacketListenOptions extends SeqpacketLimits {
  readonly path: string;
  /** File mode of the socket, 0600 unless given. */
  readonly mode?: number;
  readonly backlog?: number;
}

const SOCK_SEQPACKET = 5;
const SOCK_NONBLOCK = 0o4000;
const SOCK_CLOEXEC = 0o2000000;
const DEFAULT_MAX_BYTES = 65_536;
const DEFAULT_MAX_FDS = 16;

/** Listens at `path` (a stale socket file is replaced). `onConnection` runs synchronously per connection. */
export function listenSeqpacket(
  options: SeqpacketListenOptions,
  onConnection: (connection: SeqpacketConnection) => void,
): SeqpacketListener {
  const fd = unixSocket();
  try {
    rmSync(options.path, { force: true });
    const address = encodeUnixAddress(options.path);
    check(libc().bind(fd, address, address.length), "bind", options.path);
    chmodSync(options.path, options.mode ?? 0o600);
    check(libc().listen(fd, options.backlog ?? 16), "listen", options.path);
  } catch (error) {
    closeSync(fd);
    throw error;
  }
  const poll = pollFd(fd, { readable: true }, () => acceptAll(fd, options, onConnection));
  let open = true;
  return {
    path: options.path,
    close: () => {
      if (!open) return;
      open = false;
      poll.close();
      closeSync(fd);
      rmSync(options.path, { force: true });
    },
  };
}

/** Connects to `path`; rejects with ENOENT or ECONNREFUSED when nobody listens. */
export async function connectSeqpacket(
  path: string,
  limits: SeqpacketLimits = {},
): Promise<SeqpacketConnection> {
  const fd = unixSocket();
  try {
    const address = encodeUnixAddress(path);
    check(libc().connect(fd, address, address.length), "connect", path); // a unix connect never waits here
    return await Promise.resolve(new SeqpacketSocket(fd, limits));
  } catch (error) {
    closeSync(fd);
    throw error;
  }
}

function acceptAll(
  listener: number,
  limits: SeqpacketLimits,
  onConnection: (connection: SeqpacketConnection) => void,
): void {
  for (;;) {
    const fd = libc().accept4(listener, null, null, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0) {
      const name = errnoName(errno());
      if (name === "ECONNABORTED" || name === "EINTR") continue;
      return; // EAGAIN, or out of descriptors: the poll calls again
    }
    onConnection(new SeqpacketSocket(fd, limits));
  }
}

function unixSocket(): number {
  return check(libc().socket(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), "socket AF_UNIX");
}

/** A pending operation: tried again whenever the descriptor may be ready. */
interface Waiter {
  attempt(): boolean;
  fail(error: Error): void;
}

class SeqpacketSocket implements SeqpacketConnection {
  readonly peer: PeerCredentials;
  readonly #fd: number;
  readonly #limits: { readonly maxBytes: number; readonly maxFds: number };
  #poll: PollHandle | undefined;
  #reader: Waiter | undefined;
  #writers: Waiter[] = [];
  #closed = false;

  constructor(fd: number, limits: SeqpacketLimits) {
    this.#fd = fd;
    this.#limits = {
      maxBytes: limits.maxBytes ?? DEFAULT_MAX_BYTES,
      maxFds: limits.maxFds ?? DEFAULT_MAX_FDS,
    };
    this.peer = peerCredentials(fd);
  }

  get closed(): boolean {
    return this.#closed;
  }

  peerPidfd(): number | undefined {
    return this.#closed ? undefined : peerPidfd(this.#fd);
  }

  send(bytes: Uint8Array, fds: readonly number[] = [], signal?: AbortSignal): Promise<void> {
    const attempt = (): { readonly value: undefined } => {
      sendMessage(this.#fd, bytes, fds);
      return { value: undefined };
    };
    return this.#operate(attempt, signal, (waiter) => this.#writers.push(waiter));
  }

  receive(signal?: AbortSignal): Promise<FdMessage | undefined> {
    if (this.#reader !== undefined) return Promise.reject(new Error("receive is already waiting"));
    const attempt = (): { readonly value: FdMessage | undefined } => this.#receiveNow();
    return this.#operate(attempt, signal, (waiter) => {
      this.#reader = waiter;
    });
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#poll?.close();
    closeSync(this.#fd);
    const error = new SystemCallError("unix socket closed", 103 /* ECONNABORTED */);
    const waiting = [this.#reader, ...this.#writers];
    this.#reader = undefined;
    this.#writers = [];
    for (const waiter of waiting) waiter?.fail(error);
  }

  #receiveNow(): { readonly value: FdMessage | undefined } {
    const received = receiveMessage(this.#fd, this.#limits);
    if (received.kind === "message") return { value: received.message };
    if (received.kind === "end") return { value: undefined };
    const error = new SystemCallError("recvmsg", 90 /* EMSGSIZE */, "larger than the protocol allows");
    queueMicrotask(() => this.close());
    throw error;
  }

  /** Tries at once unless others wait, else when the descriptor is ready. */
  #operate<T>(
    attempt: () => { readonly value: T },
    signal: AbortSignal | undefined,
    enqueue: (waiter: Waiter) => void,
  ): Promise<T> {
    if (this.#closed) return Promise.reject(new SystemCallError("unix socket closed", 103));
    if (signal?.aborted === true) return Promise.reject(signal.reason as Error);
    return new Promise<T>((resolve, reject) => {
      const onAbort = (): void => {
        this.#forget(waiter);
        reject(signal?.reason as Error);
      };
      const finish = (): void => signal?.removeEventListener("abort", onAbort);
      const waiter: Waiter = {
        attempt: () => {
          try {
            const done = attempt();
            finish();
            resolve(done.value);
            return true;
          } catch (error) {
            if (isErrno(error, "EAGAIN")) return false;
            finish();
            reject(error as Error);
            return true;
          }
        },
        fail: (error) => {
          finish();
          reject(error);
        },
      };
      signal?.addEventListener("abort", onAbort, { once: true });
      enqueue(waiter);
      this.#progress();
    });
  }

  #forget(waiter: Waiter): void {
    if (this.#reader === waiter) this.#reader = undefined;
    this.#writers = this.#writers.filter((w) => w !== waiter);
    this.#updatePoll();
  }

  #progress(): void {
    if (this.#reader?.attempt() === true) this.#reader = undefined;
    while (this.#writers[0]?.attempt() === true) this.#writers.shift();
    this.#updatePoll();
  }

  #updatePoll(): void {
    if (this.#closed) return;
    const readable = this.#reader !== undefined;
    const writable = this.#writers.length > 0;
    if (!readable && !writable) {
      this.#poll?.stop();
      return;
    }
    const onReady = (): void => this.#progress();
    if (this.#poll === undefined) this.#poll = pollFd(this.#fd, { readable, writable }, onReady);
    else this.#poll.start({ readable, writable }, onReady);
  }
}
