/**
 * Asks the API server about bearer tokens, sparingly: answers are kept by the token's hash, one question per token and
 * sixteen in all are open at a time. While the API is away an answer is used again for as long as the token lasts:
 * whether the pod still exists is checked elsewhere, on every request.
 */
import { hash } from "node:crypto";
import type { Clock } from "#core/base/clock.ts";
import { Lru } from "#core/base/lru.ts";
import type { Parsed } from "#core/base/parse-result.ts";
import { apiVersion, kindPath, TOKEN_REVIEW } from "#core/k8s/kinds.ts";
import { type KubeClient, kubeStatus } from "#core/k8s/kube-client.ts";
import { AmbitError, describeError } from "#core/runtime/errors.ts";
import type { Logger } from "#core/runtime/log.ts";
import { type ReviewedToken, readReview } from "./reviewed-token.ts";

export interface TokenReviewDeps {
  readonly client: KubeClient;
  readonly clock: Clock;
  readonly log: Logger;
  readonly audiences: readonly string[];
}

interface Entry {
  readonly outcome: Parsed<ReviewedToken>;
  readonly freshUntilMs: number;
  readonly expiresMs: number;
}

const POSITIVE_MS = 60_000;
const NEGATIVE_MS = 5_000;
const MAX_ENTRIES = 10_000;
const MAX_OPEN = 16;
const TIMEOUT_MS = 5_000;

/** Code `TOKEN_REVIEW_UNAVAILABLE` (retryable): the API did not answer, or too many questions are open. */
export class TokenReviews {
  readonly #deps: TokenReviewDeps;
  readonly #entries = new Lru<string, Entry>(MAX_ENTRIES);
  readonly #open = new Map<string, Promise<Parsed<ReviewedToken>>>();

  constructor(deps: TokenReviewDeps) {
    this.#deps = deps;
  }

  /** `expiresMs` from the token itself: no answer outlives it. */
  review(token: string, expiresMs: number): Promise<Parsed<ReviewedToken>> {
    const key = hash("sha256", token, "hex");
    const entry = this.#entries.get(key);
    if (entry !== undefined && this.#deps.clock.nowMs() < Math.min(entry.freshUntilMs, entry.expiresMs)) {
      return Promise.resolve(entry.outcome);
    }
    const open = this.#open.get(key);
    if (open !== undefined) return open;
    if (this.#open.size >= MAX_OPEN) return Promise.reject(unavailable("too many token reviews are open"));
    const asked = this.#ask(key, token, expiresMs, entry).finally(() => this.#open.delete(key));
    this.#open.set(key, asked);
    return asked;
  }

  async #ask(
    key: string,
    token: string,
    expiresMs: number,
    known: Entry | undefined,
  ): Promise<Parsed<ReviewedToken>> {
    const { client, audiences, clock, log } = this.#deps;
    try {
      const answer = await client.json({
        method: "POST",
        path: kindPath(TOKEN_REVIEW),
        body: { apiVersion: apiVersion(TOKEN_REVIEW), kind: TOKEN_REVIEW.kind, spec: { token, audiences } },
        timeoutMs: TIMEOUT_MS,
      });
      const outcome = readReview(answer, audiences);
      const lifeMs = outcome.ok ? POSITIVE_MS : NEGATIVE_MS;
      this.#entries.set(key, { outcome, expiresMs, freshUntilMs: clock.nowMs() + lifeMs });
      return outcome;
    } catch (cause) {
      if (known?.outcome.ok === true && clock.nowMs() < known.expiresMs) return known.outcome;
      log.warn({ error: describeError(cause), status: kubeStatus(cause) }, "token review failed");
      throw unavailable("the API server cannot be asked about tokens", cause);
    }
  }
}

function unavailable(message: string, cause?: unknown): AmbitError {
  return new AmbitError("TOKEN_REVIEW_UNAVAILABLE", message, { cause, retryable: true });
}
