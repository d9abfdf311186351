/** HOT PATH. One try to have a request answered: waits for a connection, sends, and hands back what comes. */
import type { ClientExchange, ClientExchangeEvents, ClientFailure } from "#core/http/exchange.ts";
import type { HttpField, RequestHead, ResponseHead } from "#core/http/message.ts";
import type { LaneOwner, LaneUser, PooledConnection } from "../upstream/upstream-lane.ts";
import type { Reason } from "./reasons.ts";
import { isHarmless } from "./retry.ts";

export interface AttemptOwner {
  readonly caller: LaneOwner;
  onConnected(upstream: ClientExchange): void;
  onNotConnected(reason: Reason, error: string): void;
  onInterim(head: ResponseHead): void;
  onAnswerHead(head: ResponseHead): void;
  onAnswerBody(bytes: Uint8Array): void;
  onAnswerEnd(trailers: readonly HttpField[]): void;
  onUpstreamWritable(): void;
  onUpstreamFailure(failure: ClientFailure, wasUsed: boolean): void;
}

export class Attempt implements LaneUser, ClientExchangeEvents {
  readonly #call: AttemptOwner;
  readonly #head: RequestHead;
  #pooled: PooledConnection | undefined;
  exchange: ClientExchange | undefined;
  isOver = false;

  constructor(call: AttemptOwner, head: RequestHead) {
    this.#call = call;
    this.#head = head;
  }

  get needsFresh(): boolean {
    return !isHarmless(this.#head);
  }

  get owner(): LaneOwner {
    return this.#call.caller;
  }

  onConnection(pooled: PooledConnection): void {
    this.#pooled = pooled;
    if (logsIn(this.#head.fields, "authorization")) pooled.pinTo(this.owner);
    this.exchange = pooled.connection.send(this.#head, this);
    this.#call.onConnected(this.exchange);
  }

  onNoConnection(reason: Reason, error: string): void {
    this.isOver = true;
    this.#call.onNotConnected(reason, error);
  }

  onInterim(head: ResponseHead): void {
    if (!this.isOver) this.#call.onInterim(head);
  }

  onHead(head: ResponseHead): void {
    if (this.isOver) return;
    if (head.status === 401 && logsIn(head.fields, "www-authenticate")) this.#pooled?.pinTo(this.owner);
    this.#call.onAnswerHead(head);
  }

  onBody(bytes: Uint8Array): void {
    if (!this.isOver) this.#call.onAnswerBody(bytes);
  }

  onEnd(trailers: readonly HttpField[]): void {
    if (!this.isOver) this.#call.onAnswerEnd(trailers);
  }

  onWritable(): void {
    if (!this.isOver) this.#call.onUpstreamWritable();
  }

  onFailure(failure: ClientFailure): void {
    if (this.isOver) return;
    const wasUsed = this.#pooled?.wasUsed ?? false;
    this.finish();
    this.#call.onUpstreamFailure(failure, wasUsed);
  }

  /** The exchange is complete, or failed by itself. */
  finish(): void {
    if (this.isOver) return;
    this.isOver = true;
    this.#pooled?.release();
  }

  /** Gives up: the upstream never sees a complete request unless it has seen one already. */
  abort(reason: string): void {
    if (this.isOver) return;
    this.exchange?.abort(reason);
    this.finish();
  }
}

/** Schemes that authenticate the connection, not the request. */
function logsIn(fields: readonly HttpField[], name: string): boolean {
  for (const field of fields) {
    if (field.name === name && /^\s*(?:ntlm|negotiate)\b/i.test(field.value)) return true;
  }
  return false;
}
