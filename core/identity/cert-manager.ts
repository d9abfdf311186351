/**
 * Certificates of every identity that this process speaks for: fetched when needed, renewed at half-life, forgotten
 * with the last workload. A connection that waits comes before a prefetch, a prefetch before a renewal; at most eight
 * requests are out at once. While the CA is away a valid certificate stays in force and connections without one wait.
 */
import { type Backoff, createBackoff } from "../base/backoff.ts";
import type { Clock } from "../base/clock.ts";
import type { SpiffeId } from "../model/spiffe-id.ts";
import { AmbitError, describeError } from "../runtime/errors.ts";
import type { Logger } from "../runtime/log.ts";
import {
  type CertificateIssuer,
  halfLifeMs,
  isValidAt,
  type PublicCertificate,
  publicCertificate,
  type WorkloadCertificate,
} from "./certificate.ts";

const MAX_IN_FLIGHT = 8;
/** On the wall clock, since a timer for half a certificate's life would not notice that the clock was set. */
const TICK_MS = 60_000;
const RETRY = { firstMs: 1_000, maxMs: 150_000 } as const;

export interface CertificateManagerDeps {
  readonly issuer: CertificateIssuer;
  readonly clock: Clock;
  readonly log: Logger;
  /** Jitter of retries. */
  readonly random?: () => number;
}

export type CertificateState =
  | { readonly kind: "initializing" }
  | { readonly kind: "available"; readonly certificate: PublicCertificate }
  | { readonly kind: "unavailable"; readonly error: string };

export interface CertificateEntry {
  readonly identity: SpiffeId;
  readonly state: CertificateState;
}

type Priority = "connection" | "warmup" | "renewal";
const ORDER: readonly Priority[] = ["connection", "warmup", "renewal"];

interface Waiter {
  resolve(certificate: WorkloadCertificate): void;
  reject(error: AmbitError): void;
}

interface Entry {
  readonly identity: SpiffeId;
  readonly backoff: Backoff;
  readonly waiters: Set<Waiter>;
  certificate: WorkloadCertificate | undefined;
  lastError: string | undefined;
  queued: Priority | undefined;
  request: AbortController | undefined;
  /** Set while a retry is due later: ends that timer. */
  cancelRetry: (() => void) | undefined;
}

export class CertificateManager {
  readonly #deps: CertificateManagerDeps;
  readonly #entries = new Map<SpiffeId, Entry>();
  #inFlight = 0;

  constructor(deps: CertificateManagerDeps) {
    this.#deps = deps;
  }

  /** The certificate in force, if it is valid now. */
  current(identity: SpiffeId): WorkloadCertificate | undefined {
    const certificate = this.#entries.get(identity)?.certificate;
    return certificate !== undefined && this.#deps.clock.nowMs() < certificate.notAfterMs
      ? certificate
      : undefined;
  }

  /** There were certificates, and none is valid any more: of all that this process speaks for nobody is believed. */
  get hasLapsed(): boolean {
    const had = [...this.#entries.values()].filter(({ certificate }) => certificate !== undefined);
    return had.length > 0 && had.every(({ identity }) => this.current(identity) === undefined);
  }

  /**
   * Waits for a valid certificate. Rejects with the CA's error when it is final, with IDENTITY_UNAVAILABLE (and the last
   * error in words) when the signal fires, with IDENTITY_FORGOTTEN.
   */
  fetch(
    identity: SpiffeId,
    priority: "connection" | "warmup",
    signal: AbortSignal,
  ): Promise<WorkloadCertificate> {
    const valid = this.current(identity);
    if (valid !== undefined) return Promise.resolve(valid);
    const entry = this.#entryOf(identity);
    const waiting = wait(entry, signal);
    this.#want(entry, priority);
    return waiting;
  }

  /** The last workload of this identity is gone: drop key and certificate, end its requests. */
  forget(identity: SpiffeId): void {
    const entry = this.#entries.get(identity);
    if (entry === undefined) return;
    this.#entries.delete(identity);
    this.#end(
      entry,
      new AmbitError("IDENTITY_FORGOTTEN", `${identity} has no workload on this node any more`),
    );
  }

  /** Every identity known, sorted; never with keys. */
  list(): readonly CertificateEntry[] {
    return [...this.#entries.values()]
      .map((entry) => ({ identity: entry.identity, state: this.#stateOf(entry) }))
      .toSorted((a, b) => (a.identity < b.identity ? -1 : 1));
  }

  /** Renewal ticks each 60 s on the wall clock, until the signal fires; then everything ends. */
  start(signal: AbortSignal): void {
    let cancel = (): void => undefined;
    const tick = (): void => {
      this.#renewDue();
      cancel = this.#deps.clock.after(TICK_MS, tick);
    };
    cancel = this.#deps.clock.after(TICK_MS, tick);
    const stop = (): void => {
      cancel();
      for (const entry of this.#entries.values())
        this.#end(entry, new AmbitError("IDENTITY_UNAVAILABLE", "this process is stopping"));
      this.#entries.clear();
    };
    if (signal.aborted) stop();
    else signal.addEventListener("abort", stop, { once: true });
  }

  #renewDue(): void {
    const nowMs = this.#deps.clock.nowMs();
    for (const entry of this.#entries.values()) {
      if (entry.certificate !== undefined && nowMs >= halfLifeMs(entry.certificate)) {
        this.#want(entry, "renewal");
      }
    }
  }

  /** Puts the identity into the queue, or moves it forward; nothing while a request or a retry is under way. */
  #want(entry: Entry, priority: Priority): void {
    if (entry.request !== undefined || entry.cancelRetry !== undefined) return;
    const before = entry.queued;
    if (before === undefined || ORDER.indexOf(priority) < ORDER.indexOf(before)) entry.queued = priority;
    this.#pump();
  }

  #pump(): void {
    while (this.#inFlight < MAX_IN_FLIGHT) {
      const next = this.#firstQueued();
      if (next === undefined) return;
      this.#inFlight++;
      void this.#request(next).finally(() => {
        this.#inFlight--;
        this.#pump();
      });
    }
  }

  #firstQueued(): Entry | undefined {
    for (const priority of ORDER) {
      for (const entry of this.#entries.values()) if (entry.queued === priority) return entry;
    }
    return undefined;
  }

  async #request(entry: Entry): Promise<void> {
    const controller = new AbortController();
    entry.queued = undefined;
    entry.request = controller;
    try {
      const certificate = await this.#deps.issuer.issue(entry.identity, controller.signal);
      if (!controller.signal.aborted) this.#accept(entry, certificate);
    } catch (error) {
      if (!controller.signal.aborted) this.#fail(entry, error);
    } finally {
      if (entry.request === controller) entry.request = undefined;
    }
  }

  #accept(entry: Entry, certificate: WorkloadCertificate): void {
    const problem = whyUnusable(entry.identity, certificate, this.#deps.clock.nowMs());
    if (problem !== undefined) throw new AmbitError("IDENTITY_BAD_CERTIFICATE", problem, { retryable: true });
    entry.certificate = certificate;
    entry.lastError = undefined;
    entry.backoff.reset();
    const { identity, serial, notAfterMs } = certificate;
    const notAfter = new Date(notAfterMs).toISOString();
    this.#deps.log.info({ identity, serial, not_after: notAfter }, "certificate in force");
    for (const waiter of entry.waiters) waiter.resolve(certificate);
  }

  #fail(entry: Entry, error: unknown): void {
    entry.request = undefined;
    entry.lastError = describeError(error);
    const delayMs = this.#retryDelayMs(entry);
    const { identity } = entry;
    this.#deps.log.warn(
      { identity, error: entry.lastError, retry_ms: delayMs },
      "no certificate from the CA",
    );
    entry.cancelRetry = this.#deps.clock.after(delayMs, () => {
      entry.cancelRetry = undefined;
      this.#want(entry, retryPriority(entry));
    });
    if (!(error instanceof AmbitError) || error.retryable) return;
    for (const waiter of entry.waiters) waiter.reject(error);
  }

  /** With a certificate still in force: not later than its end. */
  #retryDelayMs(entry: Entry): number {
    const delayMs = Math.round(entry.backoff.next());
    const leftMs = (entry.certificate?.notAfterMs ?? 0) - this.#deps.clock.nowMs();
    return leftMs > 0 ? Math.min(delayMs, leftMs) : delayMs;
  }

  #stateOf(entry: Entry): CertificateState {
    const certificate = this.current(entry.identity);
    if (certificate !== undefined) return { kind: "available", certificate: publicCertificate(certificate) };
    if (entry.lastError !== undefined) return { kind: "unavailable", error: entry.lastError };
    return entry.certificate === undefined
      ? { kind: "initializing" }
      : { kind: "unavailable", error: "the certificate has expired" };
  }

  #entryOf(identity: SpiffeId): Entry {
    const known = this.#entries.get(identity);
    if (known !== undefined) return known;
    const entry: Entry = {
      identity,
      backoff: createBackoff(RETRY, this.#deps.random),
      waiters: new Set(),
      certificate: undefined,
      lastError: undefined,
      queued: undefined,
      request: undefined,
      cancelRetry: undefined,
    };
    this.#entries.set(identity, entry);
    return entry;
  }

  #end(entry: Entry, reason: AmbitError): void {
    entry.queued = undefined;
    entry.cancelRetry?.();
    entry.request?.abort(reason);
    for (const waiter of entry.waiters) waiter.reject(reason);
  }
}

function wait(entry: Entry, signal: AbortSignal): Promise<WorkloadCertificate> {
  const { promise, resolve, reject } = Promise.withResolvers<WorkloadCertificate>();
  const waiter: Waiter = { resolve, reject };
  const onAbort = (): void => {
    const why = entry.lastError ?? "the CA has not answered yet";
    reject(
      new AmbitError("IDENTITY_UNAVAILABLE", `no certificate for ${entry.identity}: ${why}`, {
        cause: signal.reason,
        retryable: true,
      }),
    );
  };
  entry.waiters.add(waiter);
  if (signal.aborted) onAbort();
  else signal.addEventListener("abort", onAbort, { once: true });
  return promise.finally(() => {
    entry.waiters.delete(waiter);
    signal.removeEventListener("abort", onAbort);
  });
}

/** A connection may have come to wait meanwhile. */
function retryPriority(entry: Entry): Priority {
  if (entry.waiters.size > 0) return "connection";
  return entry.certificate === undefined ? "warmup" : "renewal";
}

function whyUnusable(
  identity: SpiffeId,
  certificate: WorkloadCertificate,
  nowMs: number,
): string | undefined {
  if (certificate.identity !== identity)
    return `the CA answered for ${certificate.identity} instead of ${identity}`;
  if (!isValidAt(certificate, nowMs))
    return `the certificate for ${identity} is not valid now: check the clocks of this node and of the CA`;
  return undefined;
}
