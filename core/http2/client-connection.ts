/** A connection to an upstream that takes many requests at once: HTTP/2 (RFC 9113) under the rules of core/http. */
import type { Clock } from "../base/clock.ts";
import { callbackError } from "../handle/handle-errors.ts";
import type { Handle } from "../handle/handle.ts";
import { type KeptLimit, PROCESS_KEPT_LIMIT } from "../handle/kept-bytes.ts";
import type {
  ClientConnection,
  ClientConnectionEvents,
  ClientExchange,
  ClientExchangeEvents,
} from "../http/exchange.ts";
import type { RequestHead } from "../http/message.ts";
import { type ClientExchangeHost, Http2ClientExchange } from "./client-exchange.ts";
import type { ReceiveBudget } from "./flow-control.ts";
import { sessionClosed } from "./http2-errors.ts";
import { requestFields } from "./message-fields.ts";
import { REQUEST_CLIENT_LIMITS } from "./request-limits.ts";
import type { SessionLimits } from "./session-options.ts";
import { Http2Session } from "./session.ts";

/** Requests at once, whatever the upstream would take: more share the delay of each other's bytes. */
const MAX_REQUESTS = 200;

export interface Http2ClientOptions {
  readonly events: ClientConnectionEvents;
  readonly clock?: Clock;
  readonly budget?: ReceiveBudget;
  readonly limits?: SessionLimits;
  readonly keptLimit?: KeptLimit;
}

export class Http2ClientConnection implements ClientConnection, ClientExchangeHost {
  readonly keptLimit: KeptLimit;
  readonly #session: Http2Session;

  /** Starts at once: `handle` must not have been started. Requests may be sent at once too. */
  constructor(handle: Handle, options: Http2ClientOptions) {
    const { events, clock, budget, limits = REQUEST_CLIENT_LIMITS } = options;
    this.keptLimit = options.keptLimit ?? PROCESS_KEPT_LIMIT;
    this.#session = new Http2Session(handle, {
      role: "client",
      sendsEarly: true,
      gathers: true,
      limits,
      ...(clock === undefined ? {} : { clock }),
      ...(budget === undefined ? {} : { budget }),
      events: {
        onCapacity: () => {
          if (this.capacity > 0) events.onIdle();
        },
        onClose: (error) => events.onClose(error),
      },
    });
  }

  get capacity(): number {
    const { canOpen, peerStreamLimit, streamCount } = this.#session;
    return canOpen ? Math.max(0, Math.min(peerStreamLimit, MAX_REQUESTS) - streamCount) : 0;
  }

  get usable(): boolean {
    return !this.#session.isDraining;
  }

  send(head: RequestHead, events: ClientExchangeEvents): ClientExchange {
    const exchange = new Http2ClientExchange(head, events, this);
    if (head.upgrade !== undefined) exchange.refuse("an upgrade cannot travel over HTTP/2");
    else {
      const isEmpty = head.body.kind === "none";
      if (this.capacity > 0)
        exchange.stream = this.#session.openStream(requestFields(head), exchange, isEmpty);
      if (exchange.stream === undefined) exchange.refuse("the connection takes no more requests");
    }
    return exchange;
  }

  onBug(cause: unknown): void {
    this.#session.destroy(callbackError(cause));
  }

  destroy(reason: string): void {
    this.#session.destroy(sessionClosed(reason));
  }
}
