/**
 * One connection between accept and its log line: carries its facts, can be aborted at any step, and finishes once.
 * The proxies keep their steps readable by leaving all book-keeping here. Once bytes flow this object and the relay are
 * all that a connection costs: no step waits for its end, so nothing of them is kept.
 */
import { isAbort } from "#core/base/abort.ts";
import type { Relay, RelayResult } from "#core/hbone/relay.ts";
import type { PodUid } from "#core/model/ids.ts";
import { AmbitError, describeError } from "#core/runtime/errors.ts";
import type { ConnectionEnd, ConnectionLog, ConnectionRecord, OpenConnection } from "./connection-log.ts";
import type { ConnectionRegistry, PolicyWatch, TrackedConnection } from "./connection-registry.ts";
import type { Reason, Stage } from "./response-flag.ts";
import { tunnelReason } from "./tunnel-reason.ts";

export interface ActiveConnectionDeps {
  readonly registry: ConnectionRegistry;
  readonly connectionLog: ConnectionLog;
}

interface Abortion {
  readonly reason: Reason;
  readonly error: string;
}

export class ActiveConnection implements TrackedConnection {
  readonly record: ConnectionRecord;
  readonly pod: PodUid;
  policy: PolicyWatch | undefined;
  readonly #deps: ActiveConnectionDeps;
  readonly #open: OpenConnection;
  /** Made when asked for, and only needed until bytes flow. */
  #controller: AbortController | undefined;
  #abortion: Abortion | undefined;
  #relay: Relay | undefined;
  #isRetired = false;

  constructor(deps: ActiveConnectionDeps, pod: PodUid, record: ConnectionRecord) {
    this.#deps = deps;
    this.pod = pod;
    this.record = record;
    this.#open = deps.connectionLog.open(record);
  }

  get id(): string {
    return this.#open.id;
  }

  /** Fires when the connection is aborted before bytes flow: cancels waits and dials. */
  get signal(): AbortSignal {
    if (this.#controller === undefined) {
      this.#controller = new AbortController();
      if (this.#abortion !== undefined) this.#controller.abort(abortError(this.#abortion));
    }
    return this.#controller.signal;
  }

  /** True once a relay owns both sides: nobody else may reset them. */
  get isRelaying(): boolean {
    return this.#relay !== undefined;
  }

  /** Why the connection was aborted, if it was. */
  get abortReason(): Reason | undefined {
    return this.#abortion?.reason;
  }

  /** From here on the connection is listed, counted, and judged again when policy changes. */
  track(policy?: PolicyWatch): void {
    this.#open.established();
    this.policy = policy;
    this.#deps.registry.track(this);
  }

  abort(reason: Reason, error: string): void {
    this.#abortion ??= { reason, error };
    if (this.#relay === undefined) this.#controller?.abort(abortError(this.#abortion));
    else this.#relay.abort(error);
  }

  get movedBytes(): number | undefined {
    return this.#relay === undefined ? undefined : this.#relay.bytesSent + this.#relay.bytesReceived;
  }

  get isAtRest(): boolean {
    return this.#relay?.isAtRest === true;
  }

  /** As `abort`, but both sides see an end and no failure. Only once bytes can flow. */
  retire(reason: Reason, error: string): void {
    this.#abortion ??= { reason, error };
    this.#isRetired = true;
    this.#relay?.close(error);
  }

  /** Steps O10 and I9: when the relay ends, so does the connection, with its result. `first` is the relay's first side. */
  relay(relay: Relay, first: "client" | "server" = "client"): void {
    this.#relay = relay;
    this.#controller = undefined;
    if (this.#abortion !== undefined) relay.abort(this.#abortion.error);
    relay.whenDone((result) => this.#relayed(result, first));
  }

  /** Ends before any byte was relayed. */
  fail(reason: Reason, error?: string, stage?: Stage): void {
    const end = this.#abortion ?? { reason, error };
    this.finish({
      reason: end.reason,
      ...(end.error === undefined ? {} : { error: end.error }),
      ...(stage === undefined || this.#abortion !== undefined ? {} : { stage }),
    });
  }

  /** Like `fail`, with what was thrown; a cancellation ends with the reason it was cancelled for. */
  failWith(reason: Reason, error: unknown, stage?: Stage): void {
    const text = isAbort(error) && this.#abortion !== undefined ? this.#abortion.error : describeError(error);
    this.fail(reason, text, stage);
  }

  finish(end: ConnectionEnd): void {
    this.#deps.registry.forget(this);
    this.#open.finish(end);
  }

  #relayed(result: RelayResult, first: "client" | "server"): void {
    const { bytesSent, bytesReceived } = result;
    const bytes =
      first === "client"
        ? { bytesSent, bytesReceived }
        : { bytesSent: bytesReceived, bytesReceived: bytesSent };
    this.finish({ ...this.#endOf(result), ...bytes });
  }

  #endOf(result: RelayResult): ConnectionEnd {
    if (result.end === "clean" && !this.#isRetired) return {};
    if (this.#abortion !== undefined) return this.#abortion;
    const error = result.error === undefined ? {} : { error: describeError(result.error) };
    return { reason: relayReason(result), ...error };
  }
}

function abortError({ error }: Abortion): DOMException {
  return new DOMException(error, "AbortError");
}

function relayReason({ end, error }: RelayResult): Reason {
  if (error instanceof AmbitError) return tunnelReason(error);
  return end === "tunnel-lost" ? "tunnel-lost" : "reset";
}
