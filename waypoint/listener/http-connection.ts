/** HTTP on a caller's connection: every request is judged by itself, whatever came before it on the same connection. */
import type { Handle } from "#core/handle/handle.ts";
import type { ServerConnection, ServerConnectionEvents, ServerExchange } from "#core/http/exchange.ts";
import type { Refusal } from "#core/http/message.ts";
import type { HttpProtocol } from "../http/engines.ts";
import { handleRequest } from "../http/pipeline.ts";
import type { Reason } from "../http/reasons.ts";
import type { Caller } from "./caller.ts";
import type { CallerConnection } from "./caller-connection.ts";
import { recordConnection } from "./connection-record.ts";
import type { DestinationRoute } from "./target-route.ts";

const NO_FIELDS: ReadonlySet<string> = new Set();

export class HttpConnection implements CallerConnection, ServerConnectionEvents {
  readonly #caller: Caller;
  readonly #connection: ServerConnection;
  readonly #startedMs: number;

  /** Takes over the handle, which was not started. */
  constructor(caller: Caller, handle: Handle, protocol: HttpProtocol) {
    const { engines, connections, snapshot, deps } = caller.context;
    this.#caller = caller;
    this.#startedMs = deps.clock.monotonicMs();
    connections.add(this);
    this.#connection = engines.serve(protocol, handle, this, {
      fieldsRead: () => snapshot()?.fieldsRead ?? NO_FIELDS,
    });
  }

  get route(): DestinationRoute {
    return this.#caller.route;
  }

  onRequest(exchange: ServerExchange): void {
    handleRequest(this.#caller, exchange);
  }

  onRefused({ status, reason }: Refusal): void {
    this.#caller.context.metrics.refusedHeads++;
    this.#caller.metricGroup(undefined).add({
      protocol: "http",
      status,
      grpcStatus: "",
      flag: "DPE",
      durationMs: 0,
      requestBytes: 0,
      responseBytes: 0,
    });
    recordConnection(this.#caller, {
      reason: "bad-request",
      error: reason,
      status,
      startedMs: this.#startedMs,
    });
  }

  onClose(): void {
    this.#caller.context.connections.delete(this);
    this.#caller.close();
  }

  drain(): void {
    this.#connection.drain();
  }

  end(reason: Reason): void {
    this.#connection.destroy(reason);
  }
}
