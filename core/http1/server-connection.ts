/**
 * HOT PATH. HTTP/1.1 towards callers, on a handle that it owns. One request after the other: nothing behind a request is looked at before its answer
 * is complete. Whatever is refused or answered early never becomes a request; its sender gets time to read the answer.
 */
import { systemClock } from "../base/clock.ts";
import type { Handle, HandleEvents } from "../handle/handle.ts";
import { callbackError } from "../handle/handle-errors.ts";
import type { ServerConnection, ServerConnectionEvents } from "../http/exchange.ts";
import type { Refusal } from "../http/message.ts";
import { isRefusal } from "../http/raw-head.ts";
import { checkTrailers } from "../http/trailer-rules.ts";
import { BodyReader } from "./body-reader.ts";
import { DEFAULT_TIMEOUTS, MAX_DISCARDED_BYTES, MAX_LINGER_BYTES } from "./http1-limits.ts";
import { HeadScanner } from "./head-scanner.ts";
import { type Consumer, Input } from "./input.ts";
import { Output } from "./output.ts";
import { BODY_TIMEOUT, ENDED_IN_BODY, HEAD_TIMEOUT, refusalText } from "./refusal-text.ts";
import { readRequest } from "./request-reader.ts";
import { type ExchangeHost, Http1ServerExchange } from "./server-exchange.ts";
import type { Http1ServerOptions } from "./server-options.ts";
import { type Awaited, Patience, type PatienceOwner } from "./server-patience.ts";
import { mayBeDiscarded, type ServerPhase } from "./server-phase.ts";

export class Http1ServerConnection
  implements ServerConnection, HandleEvents, Consumer, ExchangeHost, PatienceOwner
{
  readonly output: Output;
  readonly #handle: Handle;
  readonly #events: ServerConnectionEvents;
  readonly #fieldsRead: () => ReadonlySet<string>;
  readonly #input: Input;
  readonly #patience: Patience;
  readonly #scanner: HeadScanner;
  readonly #body: BodyReader;
  #phase: ServerPhase = "head";
  #exchange: Http1ServerExchange | undefined;
  /** No request after this one. */
  #closing = false;
  #inputEnded = false;
  #outputEnded = false;
  #thrownAway = 0;
  #bug: Error | undefined;

  /** Starts at once: `handle` must not have been started. */
  constructor(handle: Handle, options: Http1ServerOptions) {
    this.#handle = handle;
    this.#events = options.events;
    this.#fieldsRead = options.fieldsRead ?? (() => NO_FIELDS);
    this.output = new Output(handle);
    this.#input = new Input(handle, this, options.keptLimit);
    this.#scanner = new HeadScanner("request", options.keptLimit);
    this.#body = new BodyReader(options.keptLimit);
    // As a handle does with what its events throw: this connection ends, and no other.
    const onBug = (cause: unknown): void => {
      this.#bug = callbackError(cause);
      handle.reset();
    };
    const timeouts = { ...DEFAULT_TIMEOUTS, ...options.timeouts };
    this.#patience = new Patience(this, { clock: options.clock ?? systemClock, timeouts }, onBug);
    this.#patience.expect("request");
    handle.start(this);
    if (options.received !== undefined) this.#input.preload(options.received, onBug);
  }

  drain(): void {
    this.#closing = true;
    if (this.#phase === "head" && !this.#scanner.isPartial && this.#input.keptBytes === 0) this.#linger();
  }

  destroy(reason: string): void {
    const exchange = this.#exchange;
    this.breakOff(reason);
    exchange?.fail(reason, undefined);
  }

  onData(bytes: Uint8Array): void {
    this.#patience.sign();
    this.#input.feed(bytes);
  }

  onEnd(): void {
    this.#inputEnded = true;
    if (!this.#input.isRunning) this.afterInput();
  }

  onDrain(): void {
    this.#patience.sign();
    this.output.drained();
    if (this.#phase === "linger") this.#patience.expect("close");
    if (!this.output.wantsDrain) return;
    this.output.wantsDrain = false;
    this.#exchange?.drained();
  }

  onClose(error: Error | undefined): void {
    const exchange = this.#exchange;
    const isComplete = this.#phase === "tunnel" && this.#inputEnded && this.#outputEnded;
    this.#shut();
    if (!isComplete) exchange?.fail("the caller is gone", undefined);
    this.#events.onClose(this.#bug ?? error);
  }

  consume(bytes: Uint8Array, at: number, end: number): number {
    const phase = this.#phase;
    if (phase === "head") return this.#consumeHead(bytes, at, end);
    if (phase === "body") return this.#consumeBody(bytes, at, end);
    if (phase === "discard") return this.#consumeDiscarded(bytes, at, end);
    if (phase === "tunnel") return this.#consumeTunnel(bytes, at, end);
    if (phase === "linger") this.#throwAway(end - at, MAX_LINGER_BYTES);
    return phase === "wait" ? at : end;
  }

  get awaited(): Awaited {
    if (this.#phase === "closed") return "nothing";
    if (this.#phase === "linger") return this.#handle.queuedBytes > 0 ? "reader" : "close";
    if (this.#phase === "head") return this.#scanner.isPartial ? "head" : "request";
    if (this.#handle.queuedBytes > 0) return "reader";
    const isRead = this.#phase === "body" && this.#exchange?.isReading === true;
    return isRead || this.#phase === "discard" ? "body" : "nothing";
  }

  onTimeout(awaited: Exclude<Awaited, "nothing">): void {
    if (awaited === "head") this.#refuse(HEAD_TIMEOUT);
    else if (awaited === "request") this.#linger();
    else if (awaited === "body") this.#breakBody(BODY_TIMEOUT);
    else this.#handle.reset();
  }

  closesAfter(wanted: boolean, mayDiscard: boolean): boolean {
    const isOver = this.#inputEnded && this.#input.keptBytes === 0;
    const head = this.#exchange?.head;
    const isEarly = this.#phase === "body" && !this.#body.done;
    const isKept = mayDiscard && head !== undefined && mayBeDiscarded(head, this.#body.remaining);
    this.#closing ||= wanted || isOver || (isEarly && !isKept);
    return this.#closing;
  }

  onReaderReady(): void {
    this.#input.run();
  }

  onAnswered(): void {
    this.#exchange = undefined;
    if (this.#closing) {
      this.#linger();
      return;
    }
    if (this.#phase === "body" && !this.#body.done) {
      this.#phase = "discard";
      this.#thrownAway = 0;
    } else this.#nextRequest();
    this.#input.run();
  }

  onTunnel(): void {
    this.#phase = "tunnel";
    this.#input.run();
  }

  onTunnelOutputEnd(): void {
    this.#outputEnded = true;
    this.output.flush();
    this.#handle.shutdown();
  }

  breakOff(_reason: string): void {
    if (this.#phase === "closed") return;
    this.#exchange = undefined;
    this.#shut();
    // An answer that had begun is seen to be broken; earlier ones are complete.
    this.output.flush();
    this.#handle.reset();
  }

  #consumeHead(bytes: Uint8Array, at: number, end: number): number {
    const wasPartial = this.#scanner.isPartial;
    const next = this.#scanner.scan(bytes, at, end);
    if (this.#scanner.state === "more") {
      if (!wasPartial) this.#patience.expect("head");
      return next;
    }
    const request = readRequest(this.#scanner, this.#fieldsRead());
    this.#scanner.reset();
    if (isRefusal(request)) {
      this.#refuse(request);
      return next;
    }
    this.#closing ||= request.closes;
    this.#body.start(request.body);
    this.#phase = this.#body.done ? "wait" : "body";
    this.#patience.restart();
    const exchange = new Http1ServerExchange(this, request);
    exchange.requestEnded = this.#body.done && request.upgrade === undefined;
    this.#exchange = exchange;
    this.#events.onRequest(exchange);
    return next;
  }

  #consumeBody(bytes: Uint8Array, at: number, end: number): number {
    const exchange = this.#exchange;
    const body = this.#body;
    if (exchange === undefined || !exchange.isReading) return at;
    const next = body.read(bytes, at, end);
    if (body.failure !== undefined) {
      this.#breakBody({ status: 400, reason: body.failure });
      return end;
    }
    if (body.dataEnd > body.dataStart) exchange.giveBody(bytes.subarray(body.dataStart, body.dataEnd));
    // The receiver may have answered, or given up, meanwhile.
    if (body.done && this.#exchange === exchange && this.#phase === "body") this.#endBody(exchange);
    return next;
  }

  #endBody(exchange: Http1ServerExchange): void {
    const trailers = checkTrailers(this.#body.trailers, "request", this.#fieldsRead());
    if (isRefusal(trailers)) {
      this.#breakBody(trailers);
      return;
    }
    this.#phase = "wait";
    exchange.endRequest(trailers);
  }

  #consumeDiscarded(bytes: Uint8Array, at: number, end: number): number {
    const next = this.#body.read(bytes, at, end);
    if (this.#body.failure !== undefined) this.#linger();
    else if (this.#throwAway(next - at, MAX_DISCARDED_BYTES) && this.#body.done) this.#nextRequest();
    return next;
  }

  #consumeTunnel(bytes: Uint8Array, at: number, end: number): number {
    if (this.#exchange?.isReading !== true) return at;
    this.#exchange.giveBody(bytes.subarray(at, end));
    return end;
  }

  #throwAway(byteCount: number, bound: number): boolean {
    this.#thrownAway += byteCount;
    if (this.#thrownAway <= bound) return true;
    this.breakOff("too much after the last answer");
    return false;
  }

  #nextRequest(): void {
    this.#phase = "head";
    this.#patience.expect("request");
  }

  #refuse(refused: Refusal): void {
    this.output.text(refusalText(refused));
    this.#events.onRefused(refused);
    this.#linger();
  }

  /** The request was handed out already: whoever has it must not take it for complete. */
  #breakBody(refused: Refusal): void {
    const exchange = this.#exchange;
    this.#exchange = undefined;
    const mayAnswer = exchange !== undefined && !exchange.answerBegun;
    if (mayAnswer) {
      this.output.text(refusalText(refused));
      this.#linger();
    }
    exchange?.fail(refused.reason, mayAnswer ? refused : undefined);
    if (!mayAnswer) this.breakOff(refused.reason);
  }

  /** RFC 9112 9.6: closing with unread bytes would send a reset, and the caller would lose the answer. */
  #linger(): void {
    if (this.#phase === "closed" || this.#phase === "linger") return;
    this.#phase = "linger";
    this.#thrownAway = 0;
    this.#scanner.reset();
    this.output.flush();
    this.#handle.shutdown();
    if (this.#handle.queuedBytes === 0) this.#patience.expect("close");
    else this.#patience.expectReader();
    this.#input.run();
  }

  /** The caller's FIN, once everything before it was taken. A half-closed caller still gets its answer. */
  afterInput(): void {
    if (!this.#inputEnded || this.#input.keptBytes > 0) return;
    const exchange = this.#exchange;
    if (this.#phase === "head" || this.#phase === "discard") this.#linger();
    else if (exchange === undefined) return;
    else if (this.#phase === "body" && exchange.isReading) this.#breakBody(ENDED_IN_BODY);
    else if (this.#phase === "tunnel" && !exchange.requestEnded) exchange.endRequest([]);
  }

  #shut(): void {
    this.#phase = "closed";
    this.#scanner.reset();
    this.#body.stop();
    this.#patience.stop();
    this.#input.drop();
  }
}

const NO_FIELDS: ReadonlySet<string> = new Set();
