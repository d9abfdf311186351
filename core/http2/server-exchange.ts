/** HOT PATH. One request that came by HTTP/2, and its answer. */
import type { LocalAnswer, ServerExchange, ServerExchangeEvents } from "../http/exchange.ts";
import type { HttpField, Refusal, RequestHead, ResponseHead } from "../http/message.ts";
import { isRefusal, refusal } from "../http/raw-head.ts";
import { checkTrailers } from "../http/trailer-rules.ts";
import type { KeptLimit } from "../handle/kept-bytes.ts";
import { BodyInput, type BodyOwner } from "./body-input.ts";
import { ErrorCode, errorCodeName } from "./error-codes.ts";
import type { HeaderField } from "./hpack/header-field.ts";
import type { DeliveryResult, Http2Stream, Http2StreamEvents, StreamEnd } from "./http2-stream.ts";
import { lengthField, responseFields, statusField } from "./message-fields.ts";
import { answerRefusal } from "./refusal-answer.ts";

/** What an exchange asks of its connection. */
export interface ExchangeHost {
  readonly fieldsRead: ReadonlySet<string>;
  readonly keptLimit: KeptLimit;
  onRequest(exchange: ServerExchange): void;
  onRefused(refusal: Refusal): void;
  /** The proxy's own code threw. */
  onBug(cause: unknown): void;
  drain(): void;
}

export class Http2ServerExchange implements ServerExchange, Http2StreamEvents, BodyOwner {
  readonly head: RequestHead;
  readonly stream: Http2Stream;
  readonly #host: ExchangeHost;
  readonly #input: BodyInput;
  #events: ServerExchangeEvents | undefined;
  #state: "waiting" | "open" | "headed" | "over" = "open";
  #aborted: string | undefined;
  #movedBytes = 0;
  #stillChecks = 0;

  constructor(stream: Http2Stream, head: RequestHead, host: ExchangeHost) {
    this.stream = stream;
    this.head = head;
    this.#host = host;
    const { body } = head;
    this.#input = new BodyInput(this, body.kind === "length" ? body.bytes : undefined, host.keptLimit);
    stream.events = this;
  }

  /** Once. */
  announce(): void {
    const { body } = this.head;
    // Announced as empty, and not ended: complete for whoever gets it, so nobody does before the end proves it.
    const isUnproven = body.kind === "length" && body.bytes === 0 && !this.stream.remoteEnding;
    if (isUnproven) this.#state = "waiting";
    else this.#host.onRequest(this);
  }

  start(events: ServerExchangeEvents): void {
    this.#events = events;
    if (this.#aborted !== undefined) process.nextTick(reportAbort, this);
    else if (this.#state !== "over") this.#input.start(events);
  }

  sendInterim(head: ResponseHead): void {
    // RFC 9113 8.6: there is no switching of protocols.
    if (this.#state !== "open" || head.status === 101) return;
    this.stream.sendHeaders(responseFields(head));
    this.stream.headSent = false;
  }

  sendHead(head: ResponseHead): void {
    if (this.#state !== "open") return;
    if (head.body.kind === "tunnel") {
      this.abort();
      return;
    }
    this.#state = "headed";
    this.stream.sendHeaders(responseFields(head), head.body.kind === "none");
    if (head.body.kind === "none") this.#finish();
  }

  write(bytes: Uint8Array): "more" | "pause" | "closed" {
    return this.#state === "headed" ? this.stream.write(bytes) : "closed";
  }

  end(trailers: readonly HttpField[]): void {
    if (this.#state !== "headed") return;
    this.stream.end(trailers);
    this.#finish();
  }

  abort(): void {
    if (this.#state === "over") return;
    this.#state = "over";
    this.#input.cancel();
    this.stream.reset(ErrorCode.INTERNAL_ERROR);
  }

  reply(answer: LocalAnswer): void {
    if (this.#state === "headed") this.abort();
    if (this.#state === "over") return;
    this.#state = "headed";
    const body = Buffer.from(answer.body, "utf8");
    const hasBody = body.length > 0 && this.head.method !== "HEAD";
    const length = answer.status === 204 ? [] : [lengthField(body.length)];
    this.stream.sendHeaders([statusField(answer.status), ...answer.fields, ...length], !hasBody);
    if (hasBody) {
      this.stream.write(body);
      this.stream.end();
    }
    this.#finish();
    if (answer.close) this.#host.drain();
  }

  pause(): void {
    this.#input.pause();
  }

  resume(): void {
    this.#input.resume();
  }

  /** Trailers. */
  onHeaders(fields: readonly HeaderField[]): void {
    if (this.#state === "over") return;
    const trailers = checkTrailers(fields, "request", this.#host.fieldsRead);
    if (isRefusal(trailers)) this.onBodyFailure(trailers.reason);
    else this.#input.trailers = trailers;
  }

  onData(pieces: readonly Uint8Array[], byteCount: number): DeliveryResult {
    return this.#input.take(pieces, byteCount, this.stream.remoteEnding);
  }

  onEnd(): void {
    if (this.#state === "waiting") {
      this.#state = "open";
      this.#host.onRequest(this);
    }
    this.#input.end();
  }

  onWritable(): void {
    if (this.#state === "headed") this.#events?.onWritable();
  }

  onReset(end: StreamEnd): void {
    if (this.#state === "over") return;
    this.#abort(endReason(end));
  }

  onBodyFailure(reason: string, cause?: unknown): void {
    if (this.#state === "over") return;
    // First, so that nothing which the breach brings about is reported as well.
    this.#abort(reason);
    this.stream.breach(ErrorCode.PROTOCOL_ERROR);
    if (cause === undefined) this.#host.onRefused({ status: 400, reason });
    else this.#host.onBug(cause);
  }

  onBodyOverflow(): void {
    if (this.#state === "over") return;
    this.#abort(OVERFLOW.reason);
    this.stream.reset(ErrorCode.ENHANCE_YOUR_CALM);
    this.#host.onRefused(OVERFLOW);
  }

  /**
   * At regular times. A caller that neither brings what we wait for nor takes what it asked for is given up after `most`
   * checks without a byte. Calls that stream (gRPC) may rest, and so may any caller once it is being answered.
   */
  checkProgress(most: number): void {
    const { stream } = this;
    const movedBytes = stream.sentBytes + this.#input.receivedBytes;
    const isWaiting = stream.pending !== undefined || this.#isStalling();
    this.#stillChecks = isWaiting && movedBytes === this.#movedBytes ? this.#stillChecks + 1 : 0;
    this.#movedBytes = movedBytes;
    if (this.#stillChecks > most) this.#expire();
  }

  /** Called by the scheduler only. */
  reportAbort(): void {
    const reason = this.#aborted;
    this.#aborted = undefined;
    if (reason !== undefined) this.#events?.onAbort(reason);
  }

  #isStalling(): boolean {
    const isAnswered = this.#state === "headed" || this.#state === "over";
    return !isAnswered && this.#input.isAwaited && !this.#isStreamingCall();
  }

  #isStreamingCall(): boolean {
    return this.head.fields.some(
      ({ name, value }) => name === "content-type" && value.startsWith("application/grpc"),
    );
  }

  #expire(): void {
    const isAnswerable = this.#state === "open" || this.#state === "waiting";
    if (this.#state !== "over") this.#abort(TOO_SLOW.reason, isAnswerable ? TOO_SLOW : undefined);
    if (isAnswerable) answerRefusal(this.stream, TOO_SLOW);
    else this.stream.reset(ErrorCode.CANCEL);
    this.#host.onRefused(TOO_SLOW);
  }

  #abort(reason: string, answered?: Refusal): void {
    const isKnown = this.#state !== "waiting";
    this.#state = "over";
    this.#input.cancel();
    if (!isKnown) return;
    if (this.#events === undefined) this.#aborted = reason;
    else if (answered === undefined) this.#events.onAbort(reason);
    else this.#events.onAbort(reason, answered);
  }

  /** The answer is complete: what may still come of the request is not wanted. */
  #finish(): void {
    this.#state = "over";
    if (!this.#input.hasEnded) {
      this.#input.cancel();
      this.stream.refuseRest();
    }
  }
}

const OVERFLOW = refusal(503, "too much is kept for readers that pause");
const TOO_SLOW = refusal(408, "the caller stopped sending, or reading");

function reportAbort(exchange: Http2ServerExchange): void {
  exchange.reportAbort();
}

function endReason(end: StreamEnd): string {
  switch (end.kind) {
    case "reset":
      return `the caller reset the request (${errorCodeName(end.code)})`;
    case "refused":
      return "the caller refused the answer";
    case "session-lost":
      return `the caller's connection ended: ${end.error.message}`;
  }
}
