/**
 * Delta xDS over gRPC: one stream for all types, reconnecting with what is held. Decides nothing: `delta-state.ts` does.
 * An acknowledgement is sent after `apply` returned, so it means "in force".
 */
import { createBackoff } from "../base/backoff.ts";
import type { Clock } from "../base/clock.ts";
import { describeProblems } from "../base/parse-result.ts";
import { AmbitError, describeError } from "../runtime/errors.ts";
import type { Logger } from "../runtime/log.ts";
import {
  decodeDeltaResponse,
  type DeltaRequest,
  encodeDeltaRequest,
  type XdsNode,
  type XdsResource,
} from "../wire/xds-codec.ts";
import { DeltaState, type XdsRejection, type XdsSubscription } from "./delta-state.ts";
import { runDeltaStream, type StreamEnd, type StreamTarget } from "./delta-stream.ts";
import { RECONNECT_BACKOFF, reconnectDelayMs } from "./reconnect-delay.ts";

export interface XdsUpdate {
  readonly typeUrl: string;
  readonly resources: readonly XdsResource[];
  readonly removed: readonly string[];
}

export interface DeltaClientDeps {
  readonly log: Logger;
  readonly clock: Clock;
  /** PEM of the roots for the server's certificate; read for every connection. */
  readRoots(): Promise<string>;
  /** Bearer token; read for every stream. */
  readToken(): Promise<string>;
  /** Applies one response in one synchronous batch: updates, then removals. Must not throw for bad input. */
  apply(update: XdsUpdate): readonly XdsRejection[];
  /** Jitter of reconnects. */
  readonly random?: () => number;
}

export interface DeltaClientOptions {
  /** `host:port`. */
  readonly address: string;
  /** Name in the server's certificate, when it differs from the host. */
  readonly serverName?: string;
  readonly clusterId: string;
  readonly node: XdsNode;
  /** In the order in which they are asked for. */
  readonly subscriptions: readonly XdsSubscription[];
  /** Extra request headers. */
  readonly headers?: Readonly<Record<string, string>>;
}

export interface XdsClientStatus {
  readonly connected: boolean;
  /** Types of which a response has been acknowledged at least once: the gate of readiness. */
  readonly acknowledged: readonly string[];
  /** Why the last stream ended or a response was rejected; undefined while all is well. */
  readonly lastError: string | undefined;
}

export class DeltaClient {
  readonly #deps: DeltaClientDeps;
  readonly #options: DeltaClientOptions;
  readonly #state: DeltaState;
  readonly #ready = Promise.withResolvers<undefined>();
  readonly #demands = new Map<string, PromiseWithResolvers<undefined>>();
  #send: ((request: Uint8Array) => void) | undefined;
  #hadResponse = false;
  #lastError: string | undefined;

  constructor(deps: DeltaClientDeps, options: DeltaClientOptions) {
    this.#deps = deps;
    this.#options = options;
    this.#state = new DeltaState(options.subscriptions);
    this.#becomeReady();
  }

  /** Connects and reconnects until the signal fires; then resolves. */
  async run(signal: AbortSignal): Promise<void> {
    const backoff = createBackoff(RECONNECT_BACKOFF, this.#deps.random);
    while (!signal.aborted) {
      this.#hadResponse = false;
      const startMs = this.#deps.clock.monotonicMs();
      const end = await this.#streamOnce(signal);
      this.#send = undefined;
      if (signal.aborted) return;
      const livedMs = this.#deps.clock.monotonicMs() - startMs;
      const delayMs = Math.round(reconnectDelayMs(end, { hadResponse: this.#hadResponse, livedMs }, backoff));
      if (end.kind !== "clean") this.#lastError = end.error;
      const reason = end.kind === "clean" ? "ended by the server" : end.error;
      this.#deps.log.warn({ reason, retry_ms: delayMs }, "configuration stream ended");
      await this.#deps.clock.sleep(delayMs, signal).catch(() => undefined);
    }
  }

  /** Resolves once every wildcard type has been acknowledged; rejects with the signal's reason. */
  ready(signal: AbortSignal): Promise<void> {
    return orAbort(this.#ready.promise, signal);
  }

  /**
   * Asks for one name of an on-demand type; resolves when it, or its absence, has arrived. Survives reconnects.
   * Of a wildcard type: when everything is there. Rejects with the signal's reason.
   */
  demand(typeUrl: string, name: string, signal: AbortSignal): Promise<void> {
    const key = demandKey(typeUrl, name);
    if (this.#state.isAnswered(typeUrl, name)) return Promise.resolve();
    if (this.#isWildcard(typeUrl)) return this.ready(signal);
    const waiting = this.#demands.get(key) ?? Promise.withResolvers<undefined>();
    this.#demands.set(key, waiting);
    const request = this.#state.demand(typeUrl, name);
    if (request !== undefined) this.#write(request);
    return orAbort(waiting.promise, signal);
  }

  status(): XdsClientStatus {
    return {
      connected: this.#send !== undefined,
      acknowledged: this.#state.acknowledged(),
      lastError: this.#lastError,
    };
  }

  async #streamOnce(signal: AbortSignal): Promise<StreamEnd> {
    const target = await this.#target().catch(describeError);
    if (typeof target === "string") return { kind: "no-connection", error: target };
    const events = {
      onOpen: (send: (request: Uint8Array) => void) => this.#opened(send),
      onMessage: (bytes: Uint8Array) => this.#received(bytes),
    };
    return runDeltaStream(target, events, signal).catch((error: unknown) => ({
      kind: "no-connection",
      error: describeError(error),
    }));
  }

  async #target(): Promise<StreamTarget> {
    const [rootsPem, token] = await Promise.all([this.#deps.readRoots(), this.#deps.readToken()]);
    const { address, serverName, clusterId, headers = {} } = this.#options;
    return { address, serverName, clusterId, headers, rootsPem, token };
  }

  #opened(send: (request: Uint8Array) => void): void {
    this.#send = send;
    this.#deps.log.info({ address: this.#options.address }, "configuration stream opened");
    for (const request of this.#state.connected(this.#options.node)) this.#write(request);
  }

  #received(bytes: Uint8Array): void {
    const response = decodeDeltaResponse(bytes);
    if (!response.ok)
      throw new AmbitError("XDS_BAD_RESPONSE", `the response ${describeProblems(response.problems)}`);
    const { typeUrl, resources, removed } = response.value;
    const rejections = this.#deps.apply({ typeUrl, resources, removed });
    this.#hadResponse = true;
    const { answer, settled } = this.#state.applied(response.value, rejections);
    this.#note(typeUrl, rejections);
    this.#write(answer);
    for (const name of settled) this.#settle(demandKey(typeUrl, name));
    this.#becomeReady();
  }

  #note(typeUrl: string, rejections: readonly XdsRejection[]): void {
    this.#lastError = undefined;
    for (const { name, reason } of rejections.slice(0, 10)) {
      this.#lastError = `${name}: ${reason}`;
      this.#deps.log.warn({ type: typeUrl, resource: name, reason }, "resource rejected");
    }
  }

  #settle(key: string): void {
    this.#demands.get(key)?.resolve(undefined);
    this.#demands.delete(key);
  }

  #becomeReady(): void {
    if (this.#state.isReady()) this.#ready.resolve(undefined);
  }

  #isWildcard(typeUrl: string): boolean {
    return this.#options.subscriptions.some((s) => s.typeUrl === typeUrl && s.mode === "wildcard");
  }

  #write(request: DeltaRequest): void {
    this.#send?.(encodeDeltaRequest(request));
  }
}

/** Names hold no line breaks. */
function demandKey(typeUrl: string, name: string): string {
  return `${typeUrl}\n${name}`;
}

function orAbort(promise: Promise<undefined>, signal: AbortSignal): Promise<void> {
  const aborted = Promise.withResolvers<void>();
  const onAbort = (): void => aborted.reject(signal.reason as Error);
  if (signal.aborted) onAbort();
  else signal.addEventListener("abort", onAbort, { once: true });
  return Promise.race([promise, aborted.promise]).finally(() => signal.removeEventListener("abort", onAbort));
}
