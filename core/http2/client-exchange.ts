/** HOT PATH. One request that was sent by HTTP/2, and its answer. */
import type { KeptLimit } from "../handle/kept-bytes.ts";
import type { ClientExchange, ClientExchangeEvents, ClientFailure } from "../http/exchange.ts";
import type { HttpField, RequestHead } from "../http/message.ts";
import { isRefusal, refusal } from "../http/raw-head.ts";
import { checkResponse } from "../http/response-rules.ts";
import { checkTrailers } from "../http/trailer-rules.ts";
import { BodyInput, type BodyOwner } from "./body-input.ts";
import { ErrorCode, errorCodeName } from "./error-codes.ts";
import type { HeaderField } from "./hpack/header-field.ts";
import type { DeliveryResult, Http2Stream, Http2StreamEvents, StreamEnd } from "./http2-stream.ts";
import { rawResponse } from "./message-fields.ts";
import { MAX_FIELDS } from "./request-limits.ts";

/** What an exchange asks of its connection. */
export interface ClientExchangeHost {
  readonly keptLimit: KeptLimit;
  /** The proxy's own code threw. */
  onBug(cause: unknown): void;
}

export class Http2ClientExchange implements ClientExchange, Http2StreamEvents, BodyOwner {
  readonly #events: ClientExchangeEvents;
  readonly #request: RequestHead;
  readonly #host: ClientExchangeHost;
  #input: BodyInput | undefined;
  #isPaused = false;
  #isOver = false;
  /** Undefined: the request could not be sent. */
  stream: Http2Stream | undefined;

  constructor(request: RequestHead, events: ClientExchangeEvents, host: ClientExchangeHost) {
    this.#request = request;
    this.#events = events;
    this.#host = host;
  }

  /** The connection took no request. Reported later, as everything else. */
  refuse(reason: string): void {
    process.nextTick(reportUnsent, this, reason);
  }

  write(bytes: Uint8Array): "more" | "pause" | "closed" {
    return this.#isOver ? "closed" : (this.stream?.write(bytes) ?? "closed");
  }

  end(trailers: readonly HttpField[]): void {
    if (!this.#isOver) this.stream?.end(trailers);
  }

  abort(): void {
    if (this.#isOver) return;
    this.#finish();
    this.stream?.reset(ErrorCode.CANCEL);
  }

  pause(): void {
    this.#isPaused = true;
    this.#input?.pause();
  }

  resume(): void {
    this.#isPaused = false;
    this.#input?.resume();
  }

  onHeaders(fields: readonly HeaderField[], endStream: boolean): void {
    if (this.#isOver) return;
    if (this.#input === undefined) this.#onHead(fields, endStream);
    else this.#onTrailers(this.#input, fields);
  }

  onData(pieces: readonly Uint8Array[], byteCount: number): DeliveryResult {
    return this.#input?.take(pieces, byteCount, this.stream?.remoteEnding === true) ?? "consumed";
  }

  onEnd(): void {
    this.#input?.end();
  }

  onWritable(): void {
    if (!this.#isOver) this.#events.onWritable();
  }

  onReset(end: StreamEnd): void {
    // A complete answer stays one: that the upstream wants no more of the request takes nothing back (RFC 9113 8.1).
    if (!this.#isOver && this.#input?.hasEnded !== true) this.fail(failure(end, this.#input !== undefined));
  }

  onBodyFailure(reason: string, cause?: unknown): void {
    if (this.#isOver) return;
    if (cause === undefined) this.#badAnswer(reason);
    else {
      this.abort();
      this.#host.onBug(cause);
    }
  }

  onBodyOverflow(): void {
    if (this.#isOver) return;
    this.fail({ kind: "lost", reason: "too much is kept for readers that pause", afterHead: true });
    this.stream?.reset(ErrorCode.CANCEL);
  }

  fail(what: ClientFailure): void {
    if (this.#isOver) return;
    this.#finish();
    this.#events.onFailure(what);
  }

  #onHead(fields: readonly HeaderField[], endStream: boolean): void {
    const head =
      fields.length > MAX_FIELDS
        ? TOO_MANY_FIELDS
        : checkResponse(rawResponse(fields, endStream), this.#request);
    if (isRefusal(head)) {
      this.#badAnswer(head.reason);
      return;
    }
    if (head.status < 200) {
      this.#events.onInterim(head);
      return;
    }
    const isBodiless = head.body.kind === "none" && !endStream;
    const announced = head.body.kind === "length" ? head.body.bytes : undefined;
    const input = new BodyInput(this, isBodiless ? 0 : announced, this.#host.keptLimit);
    this.#input = input;
    if (this.#isPaused) input.pause();
    this.#events.onHead(head);
    if (!this.#isOver) input.start(this.#events);
  }

  #onTrailers(input: BodyInput, fields: readonly HeaderField[]): void {
    const trailers = checkTrailers(fields, "response");
    if (isRefusal(trailers)) this.#badAnswer(trailers.reason);
    else input.trailers = trailers;
  }

  #badAnswer(reason: string): void {
    const afterHead = this.#input !== undefined;
    this.fail({ kind: "bad-answer", reason, afterHead });
    this.stream?.breach(ErrorCode.PROTOCOL_ERROR);
  }

  #finish(): void {
    this.#isOver = true;
    this.#input?.cancel();
  }
}

function reportUnsent(exchange: Http2ClientExchange, reason: string): void {
  exchange.fail({ kind: "unsent", reason });
}

function failure(end: StreamEnd, afterHead: boolean): ClientFailure {
  switch (end.kind) {
    case "refused":
      return { kind: "unsent", reason: "the upstream refused the request" };
    case "reset":
      return {
        kind: "lost",
        reason: `the upstream reset the request (${errorCodeName(end.code)})`,
        afterHead,
      };
    case "session-lost":
      return { kind: "lost", reason: end.error.message, afterHead };
  }
}

const TOO_MANY_FIELDS = refusal(502, "too many fields");
