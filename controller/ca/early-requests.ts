/**
 * Requests that came before what the informers know: the node agent asks the API itself when a pod is made, so its
 * ztunnel can ask here before the pod, or the label that enrols it, has arrived. Such a request is told to come back,
 * but only for a while: what has not arrived by then is taken for what it looks like, a refusal.
 */
import { Lru } from "#core/base/lru.ts";

/** Far longer than a watch lags when the API is well. */
const PATIENCE_MS = 30_000;
/** A question as old as this is a new one: longer than the longest pause between two tries of a ztunnel. */
const FORGOTTEN_MS = 600_000;
const MAX_QUESTIONS = 4_096;

export class EarlyRequests {
  readonly #firstAskedMs = new Lru<string, number>(MAX_QUESTIONS);
  readonly #nowMs: () => number;

  constructor(nowMs: () => number) {
    this.#nowMs = nowMs;
  }

  /** Whether `node`, asking for `account`, may still be ahead of the informers; asking is remembered. */
  mayBeEarly(node: string, account: string): boolean {
    const key = `${node}|${account}`;
    const nowMs = this.#nowMs();
    const firstMs = this.#firstAskedMs.get(key);
    if (firstMs !== undefined && nowMs - firstMs < FORGOTTEN_MS) return nowMs - firstMs < PATIENCE_MS;
    this.#firstAskedMs.set(key, nowMs);
    return true;
  }

  /** The informers have caught up: the next time is a new one. */
  settle(node: string, account: string): void {
    this.#firstAskedMs.delete(`${node}|${account}`);
  }
}
