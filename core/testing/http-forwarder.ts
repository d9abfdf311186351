/**
 * The smallest proxy between the two sides of an HTTP engine: every request that comes is sent to one upstream, both bodies with back-pressure. Pools
 * what the client connection says is reusable.
 */
import type {
  ClientConnection,
  ClientExchange,
  ClientExchangeEvents,
  ServerConnectionEvents,
  ServerExchange,
} from "../http/exchange.ts";
import type { HttpField, Refusal, RequestHead, ResponseHead } from "../http/message.ts";

export interface ForwarderOptions {
  /** A connection that takes a request, from the pool or new. */
  readonly connect: () => ClientConnection;
  /** True: answered with 403. */
  readonly denies?: (head: RequestHead) => boolean;
}

export class Forwarder implements ServerConnectionEvents {
  readonly refusals: Refusal[] = [];
  readonly requests: RequestHead[] = [];
  readonly aborts: string[] = [];
  readonly failures: string[] = [];
  isClosed = false;
  readonly #options: ForwarderOptions;

  constructor(options: ForwarderOptions) {
    this.#options = options;
  }

  onRequest(exchange: ServerExchange): void {
    this.requests.push(exchange.head);
    if (this.#options.denies?.(exchange.head) === true)
      exchange.reply({ status: 403, fields: [], body: "RBAC: access denied", close: false });
    else new Crossing(exchange, this.#options.connect(), this);
  }

  onRefused(refusal: Refusal): void {
    this.refusals.push(refusal);
  }

  onClose(): void {
    this.isClosed = true;
  }
}

/** One request and its answer, on their way through. */
class Crossing implements ClientExchangeEvents {
  readonly #caller: ServerExchange;
  readonly #upstream: ClientExchange;
  readonly #log: Forwarder;
  #headSent = false;

  constructor(caller: ServerExchange, connection: ClientConnection, log: Forwarder) {
    this.#caller = caller;
    this.#log = log;
    this.#upstream = connection.send(caller.head, this);
    caller.start({
      onBody: (bytes) => {
        if (this.#upstream.write(bytes) === "pause") caller.pause();
      },
      onEnd: (trailers) => this.#upstream.end(trailers),
      onWritable: () => this.#upstream.resume(),
      onAbort: (reason) => {
        log.aborts.push(reason);
        this.#upstream.abort(reason);
      },
    });
  }

  onInterim(head: ResponseHead): void {
    this.#caller.sendInterim(head);
  }

  onHead(head: ResponseHead): void {
    this.#headSent = true;
    this.#caller.sendHead(head);
  }

  onBody(bytes: Uint8Array): void {
    if (this.#caller.write(bytes) === "pause") this.#upstream.pause();
  }

  onEnd(trailers: readonly HttpField[]): void {
    this.#caller.end(trailers);
  }

  onWritable(): void {
    this.#caller.resume();
  }

  onFailure(failure: { readonly kind: string; readonly reason: string }): void {
    this.#log.failures.push(`${failure.kind}: ${failure.reason}`);
    if (this.#headSent) this.#caller.abort(failure.reason);
    else this.#caller.reply({ status: 502, fields: [], body: "", close: false });
  }
}
