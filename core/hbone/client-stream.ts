/**
 * HOT PATH. The opening end of one CONNECT. The application's first bytes (16 KiB at most) go out with the request and
 * are kept until the 200, so that a request which the peer did not touch can be repeated on another tunnel.
 */
import { ErrorCode } from "../http2/error-codes.ts";
import type { DeliveryResult, Http2Stream, Http2StreamEvents, StreamEnd } from "../http2/http2-stream.ts";
import type { Http2Session } from "../http2/session.ts";
import { firstValue, type HeaderField } from "../http2/hpack/header-field.ts";
import { AmbitError } from "../runtime/errors.ts";
import type { Clock } from "../base/clock.ts";
import type { SpiffeId } from "../model/spiffe-id.ts";
import { HBONE_NO_ANSWER } from "./hbone-errors.ts";
import type { HboneStream, HboneStreamEvents, StreamLoss } from "./hbone-stream.ts";
import { streamLoss } from "./stream-loss.ts";

/** Reading from the application stops above; a read while opening brings 8 KiB at most. */
const PAUSE_EARLY_BYTES = 8 * 1024;
const MAX_ATTEMPTS = 3;
const noTimer = (): void => undefined;

/** The opening end, before and after the 200. Usable at once. */
export interface HboneClientStream extends HboneStream {
  readonly peerIdentity: SpiffeId;
  /** Lower-case hex. */
  readonly peerCertificateSerial: string;
  /** Header `baggage` of the 200, once it came. */
  readonly responseBaggage: string | undefined;
}

/** Where a stream was opened. */
export interface OpenedOn {
  readonly stream: Http2Stream;
  readonly session: Pick<Http2Session, "isDraining">;
  readonly peerIdentity: SpiffeId;
  readonly peerCertificateSerial: string;
}

export interface ClientStreamParts {
  readonly fields: readonly HeaderField[];
  readonly clock: Clock;
  readonly answerTimeoutMs: number;
  /** Opens the same request again, on another tunnel. Rejects when there is none. */
  readonly reopen: (stream: ClientStream) => Promise<OpenedOn>;
}

export class ClientStream implements HboneClientStream, Http2StreamEvents {
  /** What is needed until the answer; an open stream lets go of it. */
  #parts: ClientStreamParts | undefined;
  /** Undefined while it is opened again. */
  #on: OpenedOn | undefined;
  #peer: OpenedOn | undefined;
  #events: HboneStreamEvents | undefined;
  #state: "opening" | "open" | "over" = "opening";
  #early: Uint8Array[] | undefined;
  #earlyBytes = 0;
  #paused = false;
  #endWanted = false;
  #attempts = 1;
  #loss: StreamLoss | undefined;
  #cancelTimer: () => void;
  responseBaggage: string | undefined;

  constructor(parts: ClientStreamParts) {
    this.#parts = parts;
    this.#cancelTimer = parts.clock.after(parts.answerTimeoutMs, () => this.#onNoAnswer());
  }

  get fields(): readonly HeaderField[] {
    return this.#parts?.fields ?? [];
  }

  get isOpen(): boolean {
    return this.#state === "open";
  }

  get isLeaving(): boolean {
    return this.#on?.session.isDraining ?? true;
  }

  get peerIdentity(): SpiffeId {
    return this.#opened().peerIdentity;
  }

  get peerCertificateSerial(): string {
    return this.#opened().peerCertificateSerial;
  }

  /** Called once by the pool, before anyone else sees the stream. */
  openedOn(on: OpenedOn): void {
    this.#on = on;
    this.#peer = on;
  }

  start(events: HboneStreamEvents): void {
    this.#events = events;
    if (this.#loss !== undefined) events.onTunnelLoss(this.#loss);
  }

  write(bytes: Uint8Array): "more" | "pause" | "closed" {
    if (this.#state === "over" || this.#endWanted) return "closed";
    const stream = this.#on?.stream;
    if (this.#state === "open") return stream?.write(bytes) ?? "closed";
    (this.#early ??= []).push(Buffer.from(bytes));
    this.#earlyBytes += bytes.length;
    const result = stream?.write(bytes) ?? "pause";
    this.#paused = result === "pause" || this.#earlyBytes > PAUSE_EARLY_BYTES;
    return this.#paused ? "pause" : "more";
  }

  end(): void {
    this.#endWanted = true;
    this.#on?.stream.end();
  }

  reset(): void {
    this.#finish();
    this.#on?.stream.reset(ErrorCode.CANCEL);
  }

  consumed(byteCount: number): void {
    this.#on?.stream.consumed(byteCount);
  }

  onHeaders(fields: readonly HeaderField[]): void {
    if (this.#state !== "opening") return;
    const status = Number(firstValue(fields, ":status"));
    if (status < 200) return;
    if (status !== 200) {
      this.#on?.stream.reset(ErrorCode.CANCEL);
      this.#lose({ kind: "refused", status });
      return;
    }
    this.#letGo();
    this.#state = "open";
    this.responseBaggage = firstValue(fields, "baggage");
    this.#events?.onTunnelOpen?.();
    if (this.#paused && this.#on?.stream.blocked === "no") this.#events?.onTunnelWritable();
  }

  onData(pieces: readonly Uint8Array[], byteCount: number): DeliveryResult {
    return this.#events?.onTunnelData(pieces, byteCount) ?? "consumed";
  }

  onEnd(): void {
    if (this.#state === "open") this.#events?.onTunnelEnd();
  }

  onWritable(): void {
    if (this.#state === "open" || this.#earlyBytes <= PAUSE_EARLY_BYTES) this.#events?.onTunnelWritable();
  }

  onReset(end: StreamEnd): void {
    if (this.#state === "over") return;
    if (this.#state === "opening" && this.#mayRepeat(end)) {
      this.#attempts++;
      this.#on = undefined;
      void this.#repeat();
      return;
    }
    this.#lose(streamLoss(end));
  }

  /** A peer that refused did not act. One that was lost may have passed our bytes on: then they are not sent twice. */
  #mayRepeat(end: StreamEnd): boolean {
    if (this.#attempts >= MAX_ATTEMPTS) return false;
    if (end.kind === "refused") return true;
    return end.kind === "session-lost" && this.#earlyBytes === 0 && streamLoss(end).kind === "tunnel-lost";
  }

  async #repeat(): Promise<void> {
    const parts = this.#parts;
    if (parts === undefined) return;
    try {
      const on = await parts.reopen(this);
      if (this.#state !== "opening") {
        on.stream.reset(ErrorCode.CANCEL);
        return;
      }
      this.openedOn(on);
      for (const bytes of this.#early ?? []) on.stream.write(bytes);
      if (this.#endWanted) on.stream.end();
    } catch (error) {
      this.#lose({ kind: "tunnel-lost", error: error as Error });
    }
  }

  #onNoAnswer(): void {
    if (this.#state !== "opening") return;
    this.#on?.stream.reset(ErrorCode.CANCEL);
    const error = new AmbitError(HBONE_NO_ANSWER, "the other side did not answer the tunnel request in time");
    this.#lose({ kind: "tunnel-lost", error });
  }

  #lose(loss: StreamLoss): void {
    if (this.#state === "over") return;
    this.#finish();
    this.#loss = loss;
    this.#events?.onTunnelLoss(loss);
  }

  #finish(): void {
    this.#letGo();
    this.#state = "over";
  }

  #letGo(): void {
    this.#cancelTimer();
    this.#cancelTimer = noTimer;
    this.#early = undefined;
    this.#parts = undefined;
  }

  #opened(): OpenedOn {
    if (this.#peer === undefined) throw new Error("invariant broken: a client stream without a tunnel");
    return this.#peer;
  }
}
