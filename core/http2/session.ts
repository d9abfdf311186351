/**
 * One HTTP/2 connection (RFC 9113) on a handle, client or server. Owns the handle. Whatever ends it, every stream and
 * the session itself end once, and a stream that had not ended both ways says so.
 */
import { systemClock } from "../base/clock.ts";
import type { Handle, HandleEvents } from "../handle/handle.ts";
import { ReadRing } from "../handle/read-ring.ts";
import { AmbitError } from "../runtime/errors.ts";
import { Delivery } from "./delivery.ts";
import { ErrorCode } from "./error-codes.ts";
import { writeFirstFrames } from "./first-frames.ts";
import { ReceiveBudget } from "./flow-control.ts";
import { FrameReader } from "./frame-reader.ts";
import { FrameType } from "./frame-types.ts";
import type { FieldToSend } from "./hpack/header-field.ts";
import { brokeRules, connectionLost, HTTP2_CLOSED, peerSilent } from "./http2-errors.ts";
import type { Http2Stream, Http2StreamEvents } from "./http2-stream.ts";
import { Keepalive } from "./keepalive.ts";
import { SessionCore } from "./session-core.ts";
import { Goodbye, MAX_STREAM_ID } from "./session-goodbye.ts";
import { SessionTimers } from "./session-timers.ts";
import { type SessionControl, SessionInput } from "./session-input.ts";
import { CLIENT_LIMITS, SERVER_LIMITS, type SessionOptions } from "./session-options.ts";

/** A read shorter than this ended a burst: what was gathered goes to the application at once. */
const SHORT_READ = 16_000;
const DEFAULT_BUDGET = new ReceiveBudget();

type Phase = "open" | "draining" | "closing" | "closed";

export class Http2Session implements HandleEvents, SessionControl {
  readonly #handle: Handle;
  readonly #core: SessionCore;
  readonly #reader: FrameReader;
  readonly #delivery: Delivery;
  readonly #ring: ReadRing;
  readonly #keepalive: Keepalive;
  readonly #goodbye: Goodbye;
  readonly #timers: SessionTimers;
  #phase: Phase = "open";
  #ready = false;
  #peerGoaway = false;
  #readingStopped = false;
  #lingering = false;
  #error: Error | undefined;

  /** Starts at once: `handle` must not have been started. */
  constructor(handle: Handle, options: SessionOptions) {
    const limits = options.limits ?? (options.role === "client" ? CLIENT_LIMITS : SERVER_LIMITS);
    const clock = options.clock ?? systemClock;
    const budget = options.budget ?? DEFAULT_BUDGET;
    this.#handle = handle;
    const core = new SessionCore({
      handle,
      options,
      clock,
      limits,
      budget,
      onWritten: () => this.#onWritten(),
    });
    this.#core = core;
    core.onStreamGone = () => this.#onStreamGone();
    this.#ring = new ReadRing(() => this.#delivery.flush());
    this.#delivery = new Delivery(
      () => this.#ring,
      (stream, byteCount) => core.credit(stream, byteCount),
    );
    this.#reader = new FrameReader({
      sink: new SessionInput(core, this, this.#delivery),
      guard: core.guard,
      expectPreface: options.role === "server",
      maxFrameSize: limits.maxFrameSize,
    });
    this.#keepalive = new Keepalive({
      clock,
      pingAfterMs: limits.pingAfterMs,
      pongTimeoutMs: limits.pongTimeoutMs,
      ping: (payload) => core.writer.control(FrameType.PING, 0, 0, payload),
      onSilent: () => this.destroy(peerSilent("no answer to PING: the peer or the way to it is gone")),
    });
    this.#timers = new SessionTimers(clock, limits, this);
    this.#goodbye = new Goodbye(core, clock, () => this.#endNotice());
    writeFirstFrames(core);
    handle.start(this, this.#ring);
    core.writer.release();
    this.#keepalive.start();
  }

  get streamCount(): number {
    return this.#core.streams.size;
  }

  get streams(): Iterable<Http2Stream> {
    return this.#core.streams.values();
  }

  /** No new streams here: draining, closing, closed, or all stream ids used. */
  get isDraining(): boolean {
    return this.#phase !== "open" || this.#core.nextStream >= MAX_STREAM_ID;
  }

  get isReady(): boolean {
    return this.#ready;
  }

  /** The peer's MAX_CONCURRENT_STREAMS; Infinity when it set none. */
  get peerStreamLimit(): number {
    return this.#core.peerSettings.maxConcurrentStreams;
  }

  /** Client: whether `openStream` would succeed. */
  get canOpen(): boolean {
    const isUp = !this.isDraining && (this.#ready || this.#core.sendsEarly);
    return isUp && this.streamCount < this.peerStreamLimit;
  }

  /** For how long the connection's send window has been nearly used up. */
  congestedMs(): number {
    return this.#core.queue.congestedMs();
  }

  /** Client: sends a request. Undefined when the peer takes no more streams. */
  openStream(
    fields: readonly FieldToSend[],
    events: Http2StreamEvents,
    endStream = false,
  ): Http2Stream | undefined {
    if (!this.canOpen) return undefined;
    const stream = this.#core.newStream(this.#core.nextStream);
    this.#core.nextStream += 2;
    stream.events = events;
    stream.sendHeaders(fields, endStream);
    return stream;
  }

  /** No new streams; open ones may finish, then the connection closes. */
  drain(): void {
    if (this.#phase !== "open") return;
    this.#phase = "draining";
    this.#goodbye.giveNotice();
  }

  /** Ends now: streams report `error`, the peer sees a reset. */
  destroy(error: Error): void {
    if (this.#phase === "closed") return;
    this.#end(error);
    this.#handle.reset();
  }

  /** The peer broke a rule: GOAWAY, then close. */
  fail(code: ErrorCode, reason: string, error: Error = brokeRules(code, reason)): void {
    if (this.#phase === "closing" || this.#phase === "closed") return;
    this.#goodbye.say(code, reason);
    this.#end(error);
    this.#linger();
  }

  onData(bytes: Uint8Array): void {
    const { writer } = this.#core;
    writer.hold();
    this.#reader.push(bytes);
    if (bytes.length < SHORT_READ) this.#delivery.flush();
    else this.#delivery.flushSoon();
    this.#ring.isDelivered = this.#delivery.isEmpty;
    writer.release();
    this.#timers.watchBlock(this.#reader.openBlock);
    if (writer.pendingControlBytes > this.#core.limits.controlOutputBytes) this.#stopReading();
  }

  onEnd(): void {
    this.#delivery.flush();
    const isLoss = this.#core.streams.size > 0;
    this.#end(isLoss ? connectionLost(undefined) : undefined);
    this.#linger();
  }

  onDrain(): void {
    this.#core.writer.onDrain();
  }

  onClose(error: Error | undefined): void {
    this.#delivery.flush();
    const isLoss = this.#core.streams.size > 0;
    this.#end(isLoss ? connectionLost(error) : undefined);
    this.#phase = "closed";
    this.#timers.stop("linger");
    this.#core.writer.close();
    this.#ring.release();
    this.#core.events.onClose(this.#error);
  }

  onPeerSettings(): void {
    this.#timers.stop("settings");
    if (this.#ready) {
      this.#core.events.onCapacity?.();
      return;
    }
    this.#ready = true;
    this.#core.events.onReady?.();
  }

  onSettingsAcknowledged(): void {
    this.#timers.stop("acknowledgement");
  }

  onPong(payload: Uint8Array): void {
    if (!this.#goodbye.onPong(payload)) this.#keepalive.onPong(payload);
  }

  onPeerGoaway(lastStream: number, code: number): void {
    for (const stream of this.#core.streams.values()) {
      const isOurs = (stream.id & 1) === (this.#core.nextStream & 1);
      if (isOurs && stream.id > lastStream) this.#core.endStream(stream, { kind: "refused" });
    }
    if (code !== ErrorCode.NO_ERROR) this.#error ??= brokeRules(code, "GOAWAY from the peer");
    if (this.#phase === "open") {
      this.#phase = "draining";
      // A client may have sent requests behind it.
      if (this.#core.role === "server" && code === ErrorCode.NO_ERROR) this.#goodbye.giveNotice();
      else this.#peerGoaway = true;
      this.#core.events.onGoaway?.();
    }
    this.#closeWhenDone();
  }

  #endNotice(): void {
    this.#goodbye.cancel();
    if (this.#phase !== "draining" || this.#goodbye.isSaid) return;
    this.#core.acceptsStreams = false;
    this.#goodbye.say(ErrorCode.NO_ERROR);
    this.#closeWhenDone();
  }

  #onStreamGone(): void {
    if (this.#phase === "draining") this.#closeWhenDone();
    else if (this.#phase === "open") this.#core.events.onCapacity?.();
  }

  #closeWhenDone(): void {
    if (this.#phase !== "draining" || this.#core.streams.size > 0 || this.#isNoticeOut()) return;
    this.#goodbye.say(ErrorCode.NO_ERROR);
    this.#end(undefined);
    this.#linger();
  }

  /** A server's first GOAWAY is out and the second is not: streams may still come. */
  #isNoticeOut(): boolean {
    return this.#core.role === "server" && !this.#goodbye.isSaid && !this.#peerGoaway;
  }

  /** Sends what is queued and a FIN; a peer that does not close in time is reset. */
  #linger(): void {
    if (this.#lingering) return;
    this.#lingering = true;
    this.#core.writer.finish(() => this.#handle.shutdown());
    this.#timers.linger(() => this.#handle.reset());
  }

  /** Streams end, timers stop, input is ignored. The handle remains to be ended by the caller. */
  #end(error: Error | undefined): void {
    if (this.#phase === "closing" || this.#phase === "closed") return;
    this.#phase = "closing";
    this.#error ??= error;
    this.#reader.stop();
    this.#keepalive.stop();
    this.#timers.stopAll();
    this.#goodbye.cancel();
    const lost = this.#error ?? new AmbitError(HTTP2_CLOSED, "the session was closed");
    for (const stream of this.#core.streams.values()) {
      this.#core.endStream(stream, { kind: "session-lost", error: lost });
    }
  }

  #onWritten(): void {
    if (this.#readingStopped && this.#core.writer.pendingControlBytes === 0) {
      this.#readingStopped = false;
      this.#timers.stop("stall");
      this.#timers.watchBlock(this.#reader.openBlock);
      this.#handle.resume();
    }
    this.#core.queue.onWritten();
  }

  /** The peer makes us answer and does not read the answers: take nothing more from it. */
  #stopReading(): void {
    if (this.#readingStopped || this.#phase === "closed") return;
    this.#readingStopped = true;
    this.#handle.pause();
    this.#timers.awaitReader();
  }
}
