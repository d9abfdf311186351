/**
 * HOT PATH (types). One request and its answer, as an engine gives them to the proxy. HTTP/1.1 (`core/http1`) and HTTP/2 (`core/http2`) look the same
 * from here. Flow control is that of `Handle`: `write` copies or sends at once and says "pause"; `pause` stops `onBody`.
 */
import type { HttpField, Refusal, RequestHead, ResponseHead } from "./message.ts";

/**
 * Bytes of a message body on their way out. `end` is called once for every message, with framing "none" too, except by whoever replies or aborts.
 * Calls that come after the message ended, or after the other side of the exchange failed, do nothing ("closed").
 */
export interface BodyWriter {
  /** Valid until it returns: the bytes are sent or copied. "pause": accepted, stop until `onWritable`. */
  write(bytes: Uint8Array): "more" | "pause" | "closed";
  /** The body is complete. Only now may the receiver see a complete message. */
  end(trailers: readonly HttpField[]): void;
  /** Gives up: whatever the receiver has seen, it never looks complete. No event follows. */
  abort(reason: string): void;
}

/**
 * What both directions tell about bytes that come in. `onEnd` comes once for every message, with framing "none" too. A request with `upgrade` has
 * its end when the answer decides: at the end of the caller's side of the tunnel, or when the head of another answer than 101 is sent.
 */
export interface BodyEvents {
  /** The view is valid until it returns. */
  onBody(bytes: Uint8Array): void;
  onEnd(trailers: readonly HttpField[]): void;
  onWritable(): void;
}

/** A request that came in. `start` once, at any time: the body is held back until then. */
export interface ServerExchange extends BodyWriter {
  readonly head: RequestHead;
  start(events: ServerExchangeEvents): void;
  /** 1xx, passed on to callers that may have it, dropped otherwise. */
  sendInterim(head: ResponseHead): void;
  /** Once. With framing "none" the message is complete, else `end` completes it; "tunnel" after a 101. */
  sendHead(head: ResponseHead): void;
  /**
   * A complete answer of our own. The rest of the request's body is drained within bounds and never becomes a request; with `close` the connection
   * ends after it, lingering, so that the caller can read the answer.
   */
  reply(answer: LocalAnswer): void;
  pause(): void;
  resume(): void;
}

export interface ServerExchangeEvents extends BodyEvents {
  /**
   * The caller is gone, or broke the rules of the body: nothing can be answered any more. `answered`: what the caller was told, if it was told.
   */
  onAbort(reason: string, answered?: Refusal): void;
}

export interface LocalAnswer {
  readonly status: number;
  readonly fields: readonly HttpField[];
  readonly body: string;
  readonly close: boolean;
}

/** A request that was sent. */
export interface ClientExchange extends BodyWriter {
  pause(): void;
  resume(): void;
}

export type ClientFailure =
  /** Nothing of the request can have been acted on: it may be sent elsewhere. */
  | { readonly kind: "unsent"; readonly reason: string }
  /** The connection was lost, or the upstream reset the request. */
  | { readonly kind: "lost"; readonly reason: string; readonly afterHead: boolean }
  /** The upstream's answer is none that may be passed on. */
  | { readonly kind: "bad-answer"; readonly reason: string; readonly afterHead: boolean };

export interface ClientExchangeEvents extends BodyEvents {
  onInterim(head: ResponseHead): void;
  onHead(head: ResponseHead): void;
  /** Last event unless `onEnd` came. */
  onFailure(failure: ClientFailure): void;
}

/** A connection that takes requests. */
export interface ServerConnectionEvents {
  onRequest(exchange: ServerExchange): void;
  /** A request was answered with a refusal, or the connection ended for one; nothing of it was handed out. */
  onRefused(refusal: Refusal): void;
  onClose(error: Error | undefined): void;
}

export interface ServerConnection {
  /** Open requests finish; the caller is told to go elsewhere (`connection: close`, GOAWAY). */
  drain(): void;
  destroy(reason: string): void;
}

/** A connection to an upstream. */
export interface ClientConnection {
  /** How many more requests it takes now; 0 or 1 for HTTP/1.1. */
  readonly capacity: number;
  /** False once it takes no more requests at all. */
  readonly usable: boolean;
  send(head: RequestHead, events: ClientExchangeEvents): ClientExchange;
  destroy(reason: string): void;
}

export interface ClientConnectionEvents {
  /** It can take a request again. */
  onIdle(): void;
  onClose(error: Error | undefined): void;
}
