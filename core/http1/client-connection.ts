/**
 * HOT PATH. HTTP/1.1 towards an upstream, on a handle that it owns; one request at a time. It is used again only when nothing can be left over: the
 * request was sent whole, the answer's own framing ended at the last byte that came, and no byte came since.
 */
import { type Clock, systemClock } from "../base/clock.ts";
import type { Handle, HandleEvents } from "../handle/handle.ts";
import type { KeptLimit } from "../handle/kept-bytes.ts";
import type {
  ClientConnection,
  ClientConnectionEvents,
  ClientExchange,
  ClientExchangeEvents,
} from "../http/exchange.ts";
import type { HttpField, RequestHead } from "../http/message.ts";
import { isRefusal } from "../http/raw-head.ts";
import { checkTrailers } from "../http/trailer-rules.ts";
import { BodyReader } from "./body-reader.ts";
import { type ClientExchangeHost, Http1ClientExchange } from "./client-exchange.ts";
import { HeadScanner } from "./head-scanner.ts";
import { MAX_INTERIM } from "./http1-limits.ts";
import { type Consumer, Input } from "./input.ts";
import { Output } from "./output.ts";
import { readResponse } from "./response-reader.ts";

type Phase =
  /** Takes a request. */
  | "idle"
  | "head"
  | "body"
  | "tunnel"
  /** Takes no more requests; its end is under way. */
  | "spent"
  | "closed";

export class Http1ClientConnection implements ClientConnection, HandleEvents, Consumer, ClientExchangeHost {
  readonly output: Output;
  readonly #handle: Handle;
  readonly #events: ClientConnectionEvents;
  readonly #clock: Clock;
  readonly #input: Input;
  readonly #scanner: HeadScanner;
  readonly #body: BodyReader;
  #phase: Phase = "idle";
  #exchange: Http1ClientExchange | undefined;
  #upstreamCloses = false;
  #inputEnded = false;
  #tunnelInputEnded = false;
  #tunnelOutputEnded = false;
  /** An answer just ended; whether bytes follow it is not known yet. */
  #isUnsettled = false;
  #cancelLeaving: (() => void) | undefined;

  /** Starts at once: `handle` must not have been started. Takes a request at once. */
  constructor(
    handle: Handle,
    events: ClientConnectionEvents,
    clock: Clock = systemClock,
    keptLimit?: KeptLimit,
  ) {
    this.#handle = handle;
    this.#events = events;
    this.#clock = clock;
    this.output = new Output(handle);
    this.#input = new Input(handle, this, keptLimit);
    this.#scanner = new HeadScanner("response", keptLimit);
    this.#body = new BodyReader(keptLimit);
    handle.start(this);
  }

  get capacity(): number {
    return this.usable && this.#phase === "idle" && !this.#isUnsettled ? 1 : 0;
  }

  get usable(): boolean {
    return (
      this.#phase !== "spent" && this.#phase !== "closed" && this.#phase !== "tunnel" && !this.#inputEnded
    );
  }

  send(head: RequestHead, events: ClientExchangeEvents): ClientExchange {
    if (this.capacity === 0) return unsent(events);
    const exchange = new Http1ClientExchange(this, head, events);
    this.#exchange = exchange;
    this.#phase = "head";
    return exchange;
  }

  destroy(reason: string): void {
    this.#fail("lost", reason);
  }

  onData(bytes: Uint8Array): void {
    this.#input.feed(bytes);
  }

  onEnd(): void {
    this.#inputEnded = true;
    if (!this.#input.isRunning) this.#checkEnd();
  }

  onDrain(): void {
    this.output.drained();
    if (!this.output.wantsDrain) return;
    this.output.wantsDrain = false;
    this.#exchange?.drained();
  }

  onClose(error: Error | undefined): void {
    const exchange = this.#exchange;
    const isComplete = this.#phase === "tunnel" && this.#inputEnded && this.#tunnelOutputEnded;
    this.#shut();
    if (!isComplete) exchange?.fail("lost", error?.message ?? "the upstream closed the connection");
    this.#events.onClose(error);
  }

  consume(bytes: Uint8Array, at: number, end: number): number {
    switch (this.#phase) {
      case "idle":
        this.breakOff("bytes that nobody asked for");
        return end;
      case "head":
        return this.#consumeHead(bytes, at, end);
      case "body":
        return this.#consumeBody(bytes, at, end);
      case "tunnel":
        return this.#consumeTunnel(bytes, at, end);
      case "spent":
        this.breakOff("bytes behind the last answer");
        return end;
      case "closed":
        return end;
    }
  }

  afterInput(): void {
    if (this.#isUnsettled && this.#input.keptBytes === 0) {
      this.#isUnsettled = false;
      if (this.capacity > 0) this.#events.onIdle();
    }
    this.#checkEnd();
  }

  onReaderReady(): void {
    this.#input.run();
  }

  onTunnelOutputEnd(): void {
    this.#tunnelOutputEnded = true;
    this.output.flush();
    this.#handle.shutdown();
  }

  breakOff(_reason: string): void {
    if (this.#phase === "closed") return;
    this.#shut();
    this.#handle.reset();
  }

  #consumeHead(bytes: Uint8Array, at: number, end: number): number {
    const exchange = this.#exchange;
    if (exchange === undefined || exchange.isPaused) return at;
    const next = this.#scanner.scan(bytes, at, end);
    if (this.#scanner.state === "more") return next;
    const answer = readResponse(this.#scanner, exchange.head);
    this.#scanner.reset();
    if (isRefusal(answer)) this.#fail("bad-answer", answer.reason);
    else if (answer.body.kind === "tunnel") {
      this.#phase = "tunnel";
      exchange.giveHead(answer);
    } else if (answer.status < 200) {
      if (++exchange.interimCount > MAX_INTERIM) this.#fail("bad-answer", "too many interim answers");
      else exchange.giveInterim(answer);
    } else {
      this.#upstreamCloses = answer.closes;
      this.#body.start(answer.body);
      this.#phase = "body";
      exchange.giveHead(answer);
      if (this.#body.done && this.#isCurrent(exchange)) this.#endAnswer(exchange, NO_FIELDS);
    }
    return next;
  }

  #consumeBody(bytes: Uint8Array, at: number, end: number): number {
    const exchange = this.#exchange;
    const body = this.#body;
    if (exchange === undefined || exchange.isPaused) return at;
    const next = body.read(bytes, at, end);
    if (body.failure !== undefined) {
      this.#fail("bad-answer", body.failure);
      return end;
    }
    if (body.dataEnd > body.dataStart) exchange.giveBody(bytes.subarray(body.dataStart, body.dataEnd));
    if (body.done && this.#isCurrent(exchange)) this.#endBody(exchange);
    return next;
  }

  #endBody(exchange: Http1ClientExchange): void {
    const trailers = checkTrailers(this.#body.trailers, "response");
    if (isRefusal(trailers)) this.#fail("bad-answer", trailers.reason);
    else this.#endAnswer(exchange, trailers);
  }

  #consumeTunnel(bytes: Uint8Array, at: number, end: number): number {
    const exchange = this.#exchange;
    if (exchange === undefined || exchange.isPaused) return at;
    exchange.giveBody(bytes.subarray(at, end));
    return end;
  }

  #isCurrent(exchange: Http1ClientExchange): boolean {
    return this.#exchange === exchange && this.#phase === "body";
  }

  #endAnswer(exchange: Http1ClientExchange, trailers: readonly HttpField[]): void {
    const isSentWhole = exchange.requestEnded && this.output.backlog === 0;
    const isReusable = isSentWhole && !this.#upstreamCloses && !this.#body.endsWithConnection;
    this.#exchange = undefined;
    this.#phase = isReusable ? "idle" : "spent";
    this.#isUnsettled = true;
    exchange.giveEnd(trailers);
    if (isReusable) return;
    // A request that is not complete must not look so.
    if (isSentWhole) this.#leave();
    else this.breakOff("answered before the request was complete");
  }

  /** The upstream's FIN, once everything before it was taken. */
  #checkEnd(): void {
    if (!this.#inputEnded || this.#input.keptBytes > 0) return;
    const exchange = this.#exchange;
    if (this.#phase === "idle" || this.#phase === "spent") this.#leave();
    else if (exchange === undefined || exchange.isPaused) return;
    else if (this.#phase === "tunnel") this.#endTunnel(exchange);
    else if (this.#phase === "body" && this.#body.endsWithConnection) this.#endAnswer(exchange, NO_FIELDS);
    else this.#fail("lost", "the upstream closed before its answer was complete");
  }

  /** Both sides are done; the upstream closes too, or is made to. */
  #leave(): void {
    if (this.#cancelLeaving !== undefined || this.#handle.closed) return;
    this.#phase = "spent";
    this.#handle.shutdown();
    this.#cancelLeaving = this.#clock.after(LEAVE_MS, () => this.breakOff("the upstream did not close"));
  }

  #endTunnel(exchange: Http1ClientExchange): void {
    if (this.#tunnelInputEnded) return;
    this.#tunnelInputEnded = true;
    exchange.giveEnd(NO_FIELDS);
  }

  #fail(kind: "lost" | "bad-answer", reason: string): void {
    const exchange = this.#exchange;
    this.breakOff(reason);
    exchange?.fail(kind, reason);
  }

  #shut(): void {
    this.#phase = "closed";
    this.#scanner.reset();
    this.#body.stop();
    this.#exchange = undefined;
    this.#cancelLeaving?.();
    this.#input.drop();
  }
}

/** For an upstream to close after its last answer. */
const LEAVE_MS = 2_000;

const NO_FIELDS: readonly HttpField[] = [];

/** For a request to a connection that takes none: told like any failure, after `send` returned. */
function unsent(events: ClientExchangeEvents): ClientExchange {
  queueMicrotask(() => events.onFailure({ kind: "unsent", reason: "the connection takes no request" }));
  return NOTHING;
}

const NOTHING: ClientExchange = {
  write: () => "closed",
  end: () => undefined,
  abort: () => undefined,
  pause: () => undefined,
  resume: () => undefined,
};
