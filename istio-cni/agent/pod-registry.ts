/** The pods this agent serves, with what it holds for each. */
import type { CaptureTarget, DeviceWatch, HeldListeners } from "../capture/capture.ts";
import type { PodRef } from "./pod-ref.ts";

export interface PodEntry {
  readonly pod: PodRef;
  readonly target: CaptureTarget;
  held: HeldListeners | undefined;
  watch: DeviceWatch | undefined;
  /** Found half captured or half released after a restart: it joins, or leaves, before it counts as captured. */
  readonly interrupted: boolean;
}

export class PodRegistry {
  readonly #byUid = new Map<string, PodEntry>();

  get(uid: string): PodEntry | undefined {
    return this.#byUid.get(uid);
  }

  put(entry: PodEntry): void {
    this.#byUid.set(entry.pod.uid, entry);
  }

  remove(uid: string): void {
    this.#byUid.delete(uid);
  }

  all(): readonly PodEntry[] {
    return [...this.#byUid.values()];
  }

  get size(): number {
    return this.#byUid.size;
  }
}
