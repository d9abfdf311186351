/**
 * The tunnels of one pool key. Dials one at a time; whoever finds no room waits for a change: a tunnel came up, a stream
 * ended, a tunnel closed.
 */
import type { Clock } from "../base/clock.ts";
import { AmbitError } from "../runtime/errors.ts";
import { HBONE_NO_CAPACITY } from "./hbone-errors.ts";
import type { Tunnel, TunnelEvents } from "./tunnel.ts";

/** From this number of streams on the next tunnel is used: a lost packet stalls all streams of a tunnel. */
const STREAMS_PER_TUNNEL = 100;
/** Against peers that allow few streams per connection. */
const MAX_TUNNELS = 256;
/** How long the send window of a whole tunnel may be nearly used up before others are preferred. */
const CONGESTED_MS = 100;

export interface PoolEntryOptions {
  readonly clock: Clock;
  readonly idleReleaseMs: number;
  readonly capacityTimeoutMs: number;
  /** Called when nothing is left. */
  readonly onEmpty: () => void;
}

export interface TunnelUse<T> {
  /** Of the certificate that is in force now: it may be renewed while one waits. */
  readonly serial: () => string;
  readonly dial: () => Promise<Tunnel>;
  /** Undefined: the tunnel took no stream after all. */
  readonly open: (tunnel: Tunnel) => T | undefined;
}

export class PoolEntry implements TunnelEvents {
  readonly #options: PoolEntryOptions;
  readonly #tunnels: Set<Tunnel> = new Set();
  readonly #idleTimers: Map<Tunnel, () => void> = new Map();
  #dialing: Promise<Tunnel> | undefined;
  #waiters = 0;
  #change = Promise.withResolvers<void>();

  constructor(options: PoolEntryOptions) {
    this.#options = options;
  }

  get tunnels(): Iterable<Tunnel> {
    return this.#tunnels;
  }

  #tryOpen<T>({ serial, open }: TunnelUse<T>): T | undefined {
    const tunnel = this.#pick(serial());
    return tunnel === undefined ? undefined : open(tunnel);
  }

  /** A tunnel on which a stream may be opened now. Retires those of another certificate. */
  #pick(serial: string): Tunnel | undefined {
    let spare: Tunnel | undefined;
    for (const tunnel of this.#tunnels) {
      if (!this.#isUsable(tunnel, serial)) continue;
      if (tunnel.session.congestedMs() < CONGESTED_MS) return tunnel;
      spare ??= tunnel;
    }
    return this.#tunnels.size < MAX_TUNNELS ? undefined : spare;
  }

  /**
   * Opens a stream with `open` on a tunnel with room, dialling when there is none. Picking and opening are one step:
   * a dial that ends wakes many at once. The dial is not cancelled by `signal`, since others may be waiting for it.
   */
  async acquire<T>(use: TunnelUse<T>, signal: AbortSignal): Promise<T> {
    const now = this.#tryOpen(use);
    if (now !== undefined) return now;
    const { clock, capacityTimeoutMs } = this.#options;
    const endMs = clock.monotonicMs() + capacityTimeoutMs;
    this.#waiters++;
    try {
      for (;;) {
        signal.throwIfAborted();
        if (this.#mayDial(use.serial())) await abortable(this.#dial(use.dial), signal);
        else await this.#changed(endMs, signal);
        const opened = this.#tryOpen(use);
        if (opened !== undefined) return opened;
      }
    } finally {
      this.#waiters--;
      this.#reportEmpty();
    }
  }

  onChange(tunnel: Tunnel): void {
    if (tunnel.session.streamCount === 0) this.#armIdle(tunnel);
    this.#notify();
  }

  onClose(tunnel: Tunnel): void {
    this.#tunnels.delete(tunnel);
    this.#disarmIdle(tunnel);
    this.#notify();
    this.#reportEmpty();
  }

  /** GOAWAY to all; they end with their last stream. */
  retire(): void {
    for (const tunnel of this.#tunnels) this.#drain(tunnel);
  }

  destroy(error: Error): void {
    for (const tunnel of this.#tunnels) tunnel.session.destroy(error);
  }

  #isUsable(tunnel: Tunnel, serial: string): boolean {
    const { session } = tunnel;
    if (!session.canOpen || session.streamCount >= STREAMS_PER_TUNNEL) return false;
    if (tunnel.serial === serial && this.#options.clock.nowMs() <= tunnel.notAfterMs) return true;
    this.#drain(tunnel);
    return false;
  }

  /** Not while a peer allows no streams at all: a further connection would be no better. */
  #mayDial(serial: string): boolean {
    if (this.#dialing !== undefined) return true;
    const live = [...this.#tunnels].filter(
      (tunnel) => !tunnel.session.isDraining && tunnel.serial === serial,
    );
    return live.length < MAX_TUNNELS && live.every((tunnel) => tunnel.session.peerStreamLimit > 0);
  }

  #dial(dial: () => Promise<Tunnel>): Promise<Tunnel> {
    this.#dialing ??= dial()
      .then((tunnel) => {
        this.#tunnels.add(tunnel);
        this.#armIdle(tunnel);
        return tunnel;
      })
      .finally(() => {
        this.#dialing = undefined;
        this.#notify();
      });
    return this.#dialing;
  }

  async #changed(endMs: number, signal: AbortSignal): Promise<void> {
    const { clock } = this.#options;
    const leftMs = endMs - clock.monotonicMs();
    if (leftMs <= 0) throw new AmbitError(HBONE_NO_CAPACITY, "the peer takes no further streams");
    const { promise, resolve } = this.#change;
    const cancel = clock.after(leftMs, resolve);
    try {
      await abortable(promise, signal);
    } finally {
      cancel();
    }
  }

  #notify(): void {
    if (this.#waiters === 0) return;
    const { resolve } = this.#change;
    this.#change = Promise.withResolvers();
    resolve();
  }

  #drain(tunnel: Tunnel): void {
    this.#disarmIdle(tunnel);
    tunnel.session.drain();
  }

  #armIdle(tunnel: Tunnel): void {
    if (this.#idleTimers.has(tunnel)) return;
    const { clock, idleReleaseMs } = this.#options;
    const fire = (): void => {
      this.#idleTimers.delete(tunnel);
      if (tunnel.session.streamCount === 0) tunnel.session.drain();
    };
    this.#idleTimers.set(tunnel, clock.after(idleReleaseMs, fire));
  }

  #disarmIdle(tunnel: Tunnel): void {
    this.#idleTimers.get(tunnel)?.();
    this.#idleTimers.delete(tunnel);
  }

  #reportEmpty(): void {
    if (this.#tunnels.size === 0 && this.#waiters === 0 && this.#dialing === undefined)
      this.#options.onEmpty();
  }
}

/** `promise`, or the signal's reason when it fires first. */
function abortable<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const onAbort = (): void => reject(signal.reason as Error);
    signal.addEventListener("abort", onAbort, { once: true });
    promise.then(resolve, reject).finally(() => signal.removeEventListener("abort", onAbort));
  });
}
