/**
 * One connection between accept and its log line: carries its facts, can be aborted at any step, and finishes once.
 * The proxies keep their steps readable by leaving all book-keeping here.
 */
import { isAbort } from "#core/base/abort.ts";
import type { Relay, RelayResult } from "#core/hbone/relay.ts";
import type { PodUid } from "#core/model/ids.ts";
import { AmbitError, describeError } from "#core/runtime/errors.ts";
import type { ConnectionEnd, ConnectionLog, ConnectionRecord, OpenConnection } from "./connection-log.ts";
import type { ConnectionRegistry, PolicyWatch } from "./connection-registry.ts";
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

export class ActiveConnection {
  readonly record: ConnectionRecord;
  readonly #deps: ActiveConnectionDeps;
  readonly #pod: PodUid;
  readonly #open: OpenConnection;
  readonly #controller = new AbortController();
  #abortion: Abortion | undefined;
  #relay: Relay | undefined;
  #untrack: (() => void) | undefined;

  constructor(deps: ActiveConnectionDeps, pod: PodUid, record: ConnectionRecord) {
    this.#deps = deps;
    this.#pod = pod;
    this.record = record;
    this.#open = deps.connectionLog.open(record);
  }

  /** Fires when the connection is aborted before bytes flow: cancels waits and dials. */
  get signal(): AbortSignal {
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
    this.#untrack = this.#deps.registry.track({
      id: this.#open.id,
      pod: this.#pod,
      record: this.record,
      ...(policy === undefined ? {} : { policy }),
      abort: (reason, error) => this.abort(reason, error),
    });
  }

  abort(reason: Reason, error: string): void {
    this.#abortion ??= { reason, error };
    if (this.#relay === undefined) this.#controller.abort(new DOMException(error, "AbortError"));
    else this.#relay.abort(error);
  }

  /** Steps O10 and I9: waits for the end of the relay and finishes with its result. `first` is the relay's first side. */
  async relay(relay: Relay, first: "client" | "server" = "client"): Promise<void> {
    this.#relay = relay;
    if (this.#abortion !== undefined) relay.abort(this.#abortion.error);
    const result = await relay.done;
    const [bytesSent, bytesReceived] =
      first === "client"
        ? [result.bytesSent, result.bytesReceived]
        : [result.bytesReceived, result.bytesSent];
    this.finish({ ...this.#endOf(result), bytesSent, bytesReceived });
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
    this.#untrack?.();
    this.#open.finish(end);
  }

  #endOf(result: RelayResult): ConnectionEnd {
    if (result.end === "clean") return {};
    if (this.#abortion !== undefined) return this.#abortion;
    const error = result.error === undefined ? {} : { error: describeError(result.error) };
    return { reason: relayReason(result), ...error };
  }
}

function relayReason({ end, error }: RelayResult): Reason {
  if (error instanceof AmbitError) return tunnelReason(error);
  return end === "tunnel-lost" ? "tunnel-lost" : "reset";
}
