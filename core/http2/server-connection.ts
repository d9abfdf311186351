/**
 * A caller's connection that carries requests: HTTP/2 (RFC 9113) under the rules of core/http. What the rules refuse is
 * answered or reset on its stream alone; nothing of it is handed out.
 */
import { type Clock, systemClock } from "../base/clock.ts";
import { callbackError } from "../handle/handle-errors.ts";
import type { Handle } from "../handle/handle.ts";
import { type KeptLimit, PROCESS_KEPT_LIMIT } from "../handle/kept-bytes.ts";
import type { ServerConnection, ServerConnectionEvents, ServerExchange } from "../http/exchange.ts";
import type { Refusal } from "../http/message.ts";
import { isRefusal, refusal } from "../http/raw-head.ts";
import { checkRequest } from "../http/request-rules.ts";
import { AmbitError } from "../runtime/errors.ts";
import { errorCodeName } from "./error-codes.ts";
import type { ReceiveBudget } from "./flow-control.ts";
import type { HeaderField } from "./hpack/header-field.ts";
import { HEAD_TIMEOUT, HTTP2_HEAD_TIMEOUT, HTTP2_PEER_BROKE_RULES, sessionClosed } from "./http2-errors.ts";
import type { Http2Stream, Http2StreamEvents } from "./http2-stream.ts";
import { rawRequest } from "./message-fields.ts";
import { answerRefusal } from "./refusal-answer.ts";
import { MAX_FIELDS, REQUEST_SERVER_LIMITS } from "./request-limits.ts";
import { type ExchangeHost, Http2ServerExchange } from "./server-exchange.ts";
import type { Request, SessionLimits } from "./session-options.ts";
import { Http2Session } from "./session.ts";

/** A connection without a request is told to go. */
const IDLE_MS = 60_000;
/** Between two looks at requests that do not move. */
const CHECK_MS = 30_000;
/** As many still looks end a request: five minutes. */
const STILL_CHECKS = 10;

export interface Http2ServerOptions {
  readonly events: ServerConnectionEvents;
  /** Names in lower case that the policy in force reads: asked for each request. */
  readonly fieldsRead?: () => ReadonlySet<string>;
  readonly clock?: Clock;
  readonly budget?: ReceiveBudget;
  readonly limits?: SessionLimits;
  readonly idleMs?: number;
  readonly keptLimit?: KeptLimit;
}

export class Http2ServerConnection implements ServerConnection, ExchangeHost {
  readonly keptLimit: KeptLimit;
  readonly #session: Http2Session;
  readonly #events: ServerConnectionEvents;
  readonly #clock: Clock;
  readonly #fieldsRead: () => ReadonlySet<string>;
  readonly #idleMs: number;
  #busyMs: number;
  #cancelIdle: () => void;
  #cancelCheck: () => void;

  /** Starts at once: `handle` must not have been started. */
  constructor(handle: Handle, options: Http2ServerOptions) {
    const { events, clock = systemClock, budget, limits = REQUEST_SERVER_LIMITS } = options;
    this.#events = events;
    this.keptLimit = options.keptLimit ?? PROCESS_KEPT_LIMIT;
    this.#clock = clock;
    this.#fieldsRead = options.fieldsRead ?? readsNothing;
    this.#idleMs = options.idleMs ?? IDLE_MS;
    this.#busyMs = clock.monotonicMs();
    this.#cancelIdle = clock.after(this.#idleMs, () => this.#onIdleTimer());
    this.#cancelCheck = clock.after(CHECK_MS, () => this.#onCheckTimer());
    this.#session = new Http2Session(handle, {
      role: "server",
      gathers: true,
      clock,
      limits,
      ...(budget === undefined ? {} : { budget }),
      events: {
        onRequest: (stream, head, fields) => this.#onHead(stream, head, fields),
        onTooLarge: (stream) => this.#refuse(stream, TOO_LARGE),
        onBreach: (code, reason) => this.onRefused(refusal(400, reason ?? errorCodeName(code))),
        onCapacity: () => {
          this.#busyMs = clock.monotonicMs();
        },
        onClose: (error) => this.#onClose(error),
      },
    });
  }

  get fieldsRead(): ReadonlySet<string> {
    return this.#fieldsRead();
  }

  drain(): void {
    this.#session.drain();
  }

  destroy(reason: string): void {
    this.#session.destroy(sessionClosed(reason));
  }

  onRequest(exchange: ServerExchange): void {
    this.#events.onRequest(exchange);
  }

  onRefused(reason: Refusal): void {
    this.#events.onRefused(reason);
  }

  onBug(cause: unknown): void {
    this.#session.destroy(callbackError(cause));
  }

  #onHead(stream: Http2Stream, head: Request, fields: readonly HeaderField[]): void {
    if (head.kind !== "request") this.#refuse(stream, NO_CONNECT);
    else if (fields.length > MAX_FIELDS) this.#refuse(stream, TOO_MANY_FIELDS);
    else {
      const checked = checkRequest(rawRequest(head, fields, stream.remoteEnding), this.fieldsRead);
      if (isRefusal(checked)) this.#refuse(stream, checked);
      else new Http2ServerExchange(stream, checked, this).announce();
    }
  }

  #refuse(stream: Http2Stream, reason: Refusal): void {
    stream.events = IGNORED;
    answerRefusal(stream, reason);
    this.onRefused(reason);
  }

  #onIdleTimer(): void {
    const idleMs = this.#clock.monotonicMs() - this.#busyMs;
    const leftMs = this.#session.streamCount > 0 ? this.#idleMs : this.#idleMs - idleMs;
    if (leftMs <= 0) this.#session.drain();
    else this.#cancelIdle = this.#clock.after(leftMs, () => this.#onIdleTimer());
  }

  #onCheckTimer(): void {
    this.#cancelCheck = this.#clock.after(CHECK_MS, () => this.#onCheckTimer());
    // A copy: streams go while they are looked at.
    const streams = Array.from(this.#session.streams);
    for (const stream of streams) {
      if (stream.events instanceof Http2ServerExchange) stream.events.checkProgress(STILL_CHECKS);
      else stream.reset();
    }
  }

  #onClose(error: Error | undefined): void {
    this.#cancelIdle();
    this.#cancelCheck();
    const broken = error instanceof AmbitError ? breachOf(error) : undefined;
    if (broken !== undefined) this.onRefused(broken);
    this.#events.onClose(error);
  }
}

function breachOf({ code, fields }: AmbitError): Refusal | undefined {
  if (code === HTTP2_HEAD_TIMEOUT) return TOO_SLOW;
  // The message has numbers of the peer's in it.
  return code === HTTP2_PEER_BROKE_RULES
    ? refusal(400, errorCodeName(Number(fields["http2Code"])))
    : undefined;
}

const NO_NAMES: ReadonlySet<string> = new Set();
const readsNothing = (): ReadonlySet<string> => NO_NAMES;
const NO_CONNECT = refusal(405, "CONNECT is not served here");
const TOO_MANY_FIELDS = refusal(431, "too many fields");
const TOO_LARGE = refusal(431, "head too large");
const TOO_SLOW = refusal(408, HEAD_TIMEOUT);
/** What comes on a stream that was refused. */
const IGNORED: Http2StreamEvents = {
  onHeaders: () => undefined,
  onData: () => "consumed",
  onEnd: () => undefined,
  onWritable: () => undefined,
  onReset: () => undefined,
};
