/** Connections that wait for a waypoint: bounded, so that a waypoint that is away costs no more than they do. */
import type { PodUid } from "#core/model/ids.ts";

export interface WaitingRoomLimits {
  readonly total: number;
  /** One pod cannot take all. */
  readonly perPod: number;
}

export class WaitingRoom {
  readonly #limits: WaitingRoomLimits;
  readonly #byPod = new Map<PodUid, number>();
  #total = 0;

  constructor(limits: WaitingRoomLimits) {
    this.#limits = limits;
  }

  get size(): number {
    return this.#total;
  }

  /** The function that leaves again, or undefined when there is no room. Leaving twice counts once. */
  tryEnter(pod: PodUid): (() => void) | undefined {
    const ofPod = this.#byPod.get(pod) ?? 0;
    if (this.#total >= this.#limits.total || ofPod >= this.#limits.perPod) return undefined;
    this.#total++;
    this.#byPod.set(pod, ofPod + 1);
    let isIn = true;
    return () => {
      if (isIn) this.#leave(pod);
      isIn = false;
    };
  }

  #leave(pod: PodUid): void {
    this.#total--;
    const left = (this.#byPod.get(pod) ?? 1) - 1;
    if (left === 0) this.#byPod.delete(pod);
    else this.#byPod.set(pod, left);
  }
}
