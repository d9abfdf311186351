/** HTTP on a caller's connection: every request is judged by itself, whatever came before it on the same connection. */
import type { Handle } from "#core/handle/handle.ts";
import type { ServerConnection, ServerConnectionEvents, ServerExchange } from "#core/http/exchange.ts";
import type { Refusal } from "#core/http/message.ts";
import type { SpiffeId } from "#core/model/spiffe-id.ts";
import type { HttpProtocol } from "../http/engines.ts";
import { handleRequest } from "../http/pipeline.ts";
import { localReply } from "../http/local-reply.ts";
import type { Reason } from "../http/reasons.ts";
import type { WaypointSnapshot } from "../policy/snapshot.ts";
import type { Caller } from "./caller.ts";
import type { CallerConnection } from "./caller-connection.ts";
import { recordConnection } from "./connection-record.ts";
import type { DestinationRoute } from "./target-route.ts";

/** A caller that was told to go and sends nothing is closed after this: a request that is on its way is not lost. */
const LAST_REQUEST_MS = 2_000;
/** Before its certificate ends a caller is told to come with the next one. */
const RENEWAL_MS = 600_000;
const NO_FIELDS: ReadonlySet<string> = new Set();

export class HttpConnection implements CallerConnection, ServerConnectionEvents {
  readonly #caller: Caller;
  readonly #connection: ServerConnection;
  readonly #startedMs: number;
  readonly #protocol: HttpProtocol;
  #isDraining = false;
  #cancelTimer: () => void = () => undefined;

  /** Takes over the handle, which was not started. */
  constructor(caller: Caller, handle: Handle, protocol: HttpProtocol) {
    const { engines, connections, deps } = caller.context;
    this.#caller = caller;
    this.#startedMs = deps.clock.monotonicMs();
    this.#protocol = protocol;
    connections.add(this);
    this.#connection = engines.serve(protocol, handle, this, {
      fieldsRead: () => caller.policies()?.fieldsRead ?? NO_FIELDS,
      keptLimit: caller.keptLimit,
    });
    if (caller.farewell !== undefined) this.drain();
  }

  get identity(): SpiffeId {
    return this.#caller.identity;
  }

  get route(): DestinationRoute {
    return this.#caller.route;
  }

  /** Whoever is told to go is told with the answer. */
  onRequest(exchange: ServerExchange): void {
    const { deps, isDraining } = this.#caller.context;
    const leftMs = this.#caller.notAfterMs - deps.clock.nowMs();
    if (this.#isDraining || isDraining() || leftMs < RENEWAL_MS) this.#connection.drain();
    if (leftMs > 0) handleRequest(this.#caller, exchange, this.#caller.policies());
    else exchange.reply(localReply("peer-expired", exchange.head, true));
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
    this.#cancelTimer();
    this.#caller.context.connections.delete(this);
    this.#caller.close();
  }

  drain(farewell?: WaypointSnapshot): void {
    this.#caller.farewell ??= farewell;
    if (this.#isDraining) return;
    this.#isDraining = true;
    if (this.#protocol === "http2" || this.#caller.openCalls > 0) this.#connection.drain();
    else {
      const { clock } = this.#caller.context.deps;
      this.#cancelTimer = clock.after(LAST_REQUEST_MS, () => this.#connection.drain());
    }
  }

  end(reason: Reason): void {
    this.#connection.destroy(reason);
  }
}
