/**
 * HOT PATH. One request of a connection and its answer. The connection owns the bytes that come in; this owns what goes out and knows how far both
 * messages are.
 */
import type { LocalAnswer, ServerExchange, ServerExchangeEvents } from "../http/exchange.ts";
import type { HttpField, Refusal, RequestHead, ResponseHead } from "../http/message.ts";
import { invariant } from "../base/invariant.ts";
import { BodyFrames } from "./body-frames.ts";
import { answerFraming, answerText, interimText } from "./head-writer.ts";
import type { Output } from "./output.ts";

/** What an exchange needs from its connection. */
export interface ExchangeHost {
  readonly output: Output;
  /**
   * Decided before the answer's head is written: does the connection end behind it? `mayDiscard`: what is missing of a short body may be read and
   * thrown away instead.
   */
  closesAfter(wanted: boolean, mayDiscard: boolean): boolean;
  /** The body may be given out now. */
  onReaderReady(): void;
  /** A 101 was sent: bytes both ways from here on. */
  onTunnel(): void;
  /** The tunnel's way to the caller has ended. */
  onTunnelOutputEnd(): void;
  onAnswered(): void;
  /** Nothing may look complete any more. */
  breakOff(reason: string): void;
}

type AnswerState = "none" | "head-sent" | "tunnel" | "ended" | "broken";

export class Http1ServerExchange implements ServerExchange {
  readonly head: RequestHead;
  /** The whole request was read. */
  requestEnded = false;
  isPaused = false;
  readonly #host: ExchangeHost;
  #events: ServerExchangeEvents | undefined;
  #answer: AnswerState = "none";
  #frames: BodyFrames | undefined;
  #isTunnel = false;
  #endGiven = false;
  #trailers: readonly HttpField[] = NO_FIELDS;
  #toldToPause = false;
  #abort: { readonly reason: string; readonly answered: Refusal | undefined } | undefined;

  constructor(host: ExchangeHost, head: RequestHead) {
    this.#host = host;
    this.head = head;
  }

  /** Whether body bytes may be given out. */
  get isReading(): boolean {
    return this.#events !== undefined && !this.isPaused;
  }

  get answerBegun(): boolean {
    return this.#answer !== "none";
  }

  get isAnswered(): boolean {
    return this.#answer === "ended" || this.#answer === "broken";
  }

  start(events: ServerExchangeEvents): void {
    invariant(this.#events === undefined, "an exchange is started once");
    this.#events = events;
    if (this.#abort !== undefined) {
      events.onAbort(this.#abort.reason, this.#abort.answered);
      return;
    }
    this.#giveEnd();
    this.#host.onReaderReady();
  }

  sendInterim(head: ResponseHead): void {
    if (this.#answer !== "none" || this.head.version === "1.0" || head.status === 101) return;
    this.#host.output.text(interimText(head));
  }

  sendHead(head: ResponseHead): void {
    if (this.#answer !== "none") return;
    if (head.body.kind === "tunnel") {
      this.#openTunnel(head);
      return;
    }
    const isHead = this.head.method === "HEAD";
    const shape = { version: this.head.version, isHead, closes: false };
    const framing = answerFraming(head, shape);
    const closes = this.#host.closesAfter(framing === "raw", false);
    this.#host.output.text(answerText(head, framing, { ...shape, closes }));
    this.#frames = new BodyFrames(
      this.#host.output,
      framing,
      head.body.kind === "length" ? head.body.bytes : 0,
    );
    this.#answer = "head-sent";
    this.#endUnlessTunnel();
    if (head.body.kind === "none") this.end(NO_FIELDS);
  }

  write(bytes: Uint8Array): "more" | "pause" | "closed" {
    if ((this.#answer !== "head-sent" && this.#answer !== "tunnel") || this.#frames === undefined)
      return "closed";
    const result = this.#frames.write(bytes);
    if (result === "broken") {
      this.abort("the answer is longer than announced");
      return "closed";
    }
    if (result === "pause") this.#toldToPause = true;
    return result;
  }

  end(trailers: readonly HttpField[]): void {
    if (this.#answer === "tunnel") {
      this.#answer = "ended";
      this.#host.onTunnelOutputEnd();
      return;
    }
    if (this.#answer !== "head-sent" || this.#frames === undefined) return;
    if (!this.#frames.end(this.head.version === "1.0" ? NO_FIELDS : trailers)) {
      this.abort("the answer is shorter than announced");
      return;
    }
    this.#answer = "ended";
    this.#host.onAnswered();
  }

  reply(answer: LocalAnswer): void {
    if (this.#answer !== "none") return;
    const isHead = this.head.method === "HEAD";
    const closes = this.#host.closesAfter(answer.close, true);
    const body = Buffer.from(answer.body);
    const fields = answer.fields.filter((field) => field.name !== "content-length");
    const head: ResponseHead = {
      status: answer.status,
      fields,
      body: { kind: "length", bytes: body.length },
    };
    const context = { version: this.head.version, isHead, closes };
    const framing = answerFraming(head, context);
    this.#host.output.text(answerText(head, framing, context));
    if (framing === "length") this.#host.output.bytes(body);
    this.#answer = "ended";
    this.#host.onAnswered();
  }

  abort(reason: string): void {
    const isOver = this.#answer === "ended" && !this.#isTunnel;
    if (isOver || this.#answer === "broken") return;
    this.#answer = "broken";
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

  /** From the connection: a span of the body, or of the tunnel. */
  giveBody(bytes: Uint8Array): void {
    this.#events?.onBody(bytes);
  }

  /** From the connection: the request is complete, or the caller's side of the tunnel ended. */
  endRequest(trailers: readonly HttpField[]): void {
    this.requestEnded = true;
    this.#trailers = trailers;
    this.#giveEnd();
  }

  /** From the connection: last event, unless the answer is complete. */
  fail(reason: string, answered: Refusal | undefined): void {
    if (this.#answer === "broken") return;
    this.#answer = "broken";
    this.#abort = { reason, answered };
    this.#events?.onAbort(reason, answered);
  }

  /** From the connection: what was written is with the kernel. */
  drained(): void {
    if (!this.#toldToPause || this.isAnswered) return;
    this.#toldToPause = false;
    this.#events?.onWritable();
  }

  #openTunnel(head: ResponseHead): void {
    invariant(this.head.upgrade !== undefined, "a tunnel answers an upgrade");
    this.#host.output.text(answerText(head, "raw", { version: "1.1", isHead: false, closes: false }));
    this.#frames = new BodyFrames(this.#host.output, "raw", 0);
    this.#answer = "tunnel";
    this.#isTunnel = true;
    this.#host.onTunnel();
  }

  /** A request to upgrade is complete once it is clear that no tunnel begins. */
  #endUnlessTunnel(): void {
    if (this.head.upgrade !== undefined) this.endRequest(NO_FIELDS);
  }

  #giveEnd(): void {
    if (!this.requestEnded || this.#endGiven || this.#events === undefined) return;
    this.#endGiven = true;
    this.#events.onEnd(this.#trailers);
  }
}

const NO_FIELDS: readonly HttpField[] = [];
