/** Caps TLS handshakes in progress, per destination pod and per source address: a flood hurts only itself. */
import type { IpAddress } from "../net/ip.ts";

export interface HandshakeLimits {
  readonly perPod: number;
  readonly perSource: number;
}

export class HandshakeLimiter {
  readonly #limits: HandshakeLimits;
  readonly #bySource = new Map<IpAddress, number>();
  #total = 0;

  constructor(limits: HandshakeLimits) {
    this.#limits = limits;
  }

  /** The function that gives the place back (once), or undefined when there is none. */
  tryEnter(source: IpAddress): (() => void) | undefined {
    const fromSource = this.#bySource.get(source) ?? 0;
    if (this.#total >= this.#limits.perPod || fromSource >= this.#limits.perSource) return undefined;
    this.#total++;
    this.#bySource.set(source, fromSource + 1);
    let inside = true;
    return () => {
      if (inside) this.#leave(source);
      inside = false;
    };
  }

  #leave(source: IpAddress): void {
    this.#total--;
    const left = (this.#bySource.get(source) ?? 1) - 1;
    if (left === 0) this.#bySource.delete(source);
    else this.#bySource.set(source, left);
  }
}
