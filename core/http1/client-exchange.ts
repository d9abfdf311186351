/** HOT PATH. One request to an upstream and what is known about its answer. The connection reads; this writes, and tells its owner. */
import type { ClientExchange, ClientExchangeEvents, ClientFailure } from "../http/exchange.ts";
import type { HttpField, RequestHead, ResponseHead } from "../http/message.ts";
import { BodyFrames } from "./body-frames.ts";
import { requestFraming, requestText } from "./head-writer.ts";
import type { Output } from "./output.ts";

export interface ClientExchangeHost {
  readonly output: Output;
  onReaderReady(): void;
  /** The caller's way through the tunnel has ended. */
  onTunnelOutputEnd(): void;
  /** Nothing may look complete any more. */
  breakOff(reason: string): void;
}

export class Http1ClientExchange implements ClientExchange {
  readonly head: RequestHead;
  isPaused = false;
  /** The request was written whole. */
  requestEnded: boolean;
  isTunnel = false;
  interimCount = 0;
  /** No event any more, no call has an effect. */
  isOver = false;
  headGiven = false;
  readonly #host: ClientExchangeHost;
  readonly #events: ClientExchangeEvents;
  #frames: BodyFrames;
  /** What had left this connection before: tells whether anything of this request did. */
  readonly #handedOverBefore: number;
  #tunnelOutputEnded = false;
  #toldToPause = false;

  constructor(host: ClientExchangeHost, head: RequestHead, events: ClientExchangeEvents) {
    this.#host = host;
    this.head = head;
    this.#events = events;
    this.#handedOverBefore = host.output.handedOver;
    const framing = requestFraming(head.body);
    this.requestEnded = framing === "none";
    this.#frames = new BodyFrames(host.output, framing, head.body.kind === "length" ? head.body.bytes : 0);
    host.output.text(requestText(head));
  }

  write(bytes: Uint8Array): "more" | "pause" | "closed" {
    const mayWrite = this.isTunnel ? !this.#tunnelOutputEnded : !this.requestEnded;
    if (this.isOver || !mayWrite) return "closed";
    const result = this.#frames.write(bytes);
    if (result === "broken") {
      this.abort("the request is longer than announced");
      return "closed";
    }
    if (result === "pause") this.#toldToPause = true;
    return result;
  }

  end(trailers: readonly HttpField[]): void {
    if (this.isOver) return;
    if (this.isTunnel) {
      if (this.#tunnelOutputEnded) return;
      this.#tunnelOutputEnded = true;
      this.#host.onTunnelOutputEnd();
      return;
    }
    if (this.requestEnded) return;
    this.requestEnded = true;
    if (!this.#frames.end(trailers)) this.abort("the request is shorter than announced");
  }

  abort(reason: string): void {
    if (this.isOver) return;
    this.isOver = true;
    this.#host.breakOff(reason);
  }

  pause(): void {
    this.isPaused = true;
  }

  resume(): void {
    if (!this.isPaused) return;
    this.isPaused = false;
    this.#host.onReaderReady();
  }

  giveInterim(head: ResponseHead): void {
    this.#events.onInterim(head);
  }

  giveHead(head: ResponseHead): void {
    this.headGiven = true;
    if (head.body.kind === "tunnel") {
      this.isTunnel = true;
      this.#frames = new BodyFrames(this.#host.output, "raw", 0);
    }
    this.#events.onHead(head);
  }

  giveBody(bytes: Uint8Array): void {
    this.#events.onBody(bytes);
  }

  /** The answer is complete; of a tunnel: the upstream's side. */
  giveEnd(trailers: readonly HttpField[]): void {
    if (!this.isTunnel) this.isOver = true;
    this.#events.onEnd(trailers);
  }

  fail(kind: "lost" | "bad-answer", reason: string): void {
    if (this.isOver) return;
    this.isOver = true;
    this.#events.onFailure(this.#failure(kind, reason));
  }

  drained(): void {
    if (!this.#toldToPause || this.isOver) return;
    this.#toldToPause = false;
    this.#events.onWritable();
  }

  #failure(kind: "lost" | "bad-answer", reason: string): ClientFailure {
    const isUnsent = kind === "lost" && this.#host.output.handedOver === this.#handedOverBefore;
    return isUnsent ? { kind: "unsent", reason } : { kind, reason, afterHead: this.headGiven };
  }
}
