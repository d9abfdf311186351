/**
 * HOT PATH. The receiving end of one CONNECT: first a request that waits for its verdict, keeping the client's early
 * data (bounded by the stream's window), then a tunnel stream. One object for both: there are many of them.
 */
import { ErrorCode } from "../http2/error-codes.ts";
import type { DeliveryResult, Http2Stream, Http2StreamEvents, StreamEnd } from "../http2/http2-stream.ts";
import { headerField, type HeaderField } from "../http2/hpack/header-field.ts";
import type { SpiffeId } from "../model/spiffe-id.ts";
import type { SocketAddress } from "../net/socket-address.ts";
import type { ConnectTarget, ReceivedConnect } from "./connect-request.ts";
import type { HboneRequest, RefusalStatus } from "./hbone-request.ts";
import type { HboneStream, HboneStreamEvents, StreamLoss } from "./hbone-stream.ts";
import { streamLoss } from "./stream-loss.ts";

export interface TunnelPeer {
  readonly identity: SpiffeId;
  readonly serial: string;
  readonly notAfterMs: number;
  readonly source: SocketAddress;
  readonly local: SocketAddress;
}

const STATUS: ReadonlyMap<number, HeaderField> = new Map(
  [200, 400, 401, 404, 503].map((status) => [status, headerField(":status", String(status))]),
);

export function statusField(status: 200 | RefusalStatus): HeaderField {
  return STATUS.get(status) as HeaderField;
}

export class ServerStream implements HboneRequest, HboneStream, Http2StreamEvents {
  readonly isOpen = true;
  readonly #stream: Http2Stream;
  /** Until `start`: an open stream lets go of what was asked for. */
  #connect: ReceivedConnect | undefined;
  readonly #peer: TunnelPeer;
  #controller: AbortController | undefined;
  #answered = false;
  #events: HboneStreamEvents | undefined;
  #early: Uint8Array[] | undefined;
  #earlyBytes = 0;
  #earlyEnd = false;
  #loss: StreamLoss | undefined;

  constructor(stream: Http2Stream, connect: ReceivedConnect, peer: TunnelPeer) {
    this.#stream = stream;
    this.#connect = connect;
    this.#peer = peer;
    stream.events = this;
  }

  get peerIdentity(): SpiffeId {
    return this.#peer.identity;
  }

  get peerCertificateSerial(): string {
    return this.#peer.serial;
  }

  get peerNotAfterMs(): number {
    return this.#peer.notAfterMs;
  }

  get authority(): ConnectTarget {
    if (this.#connect === undefined) throw new Error("invariant broken: the request is over");
    return this.#connect.target;
  }

  get forwarded(): string | undefined {
    return this.#connect?.forwarded;
  }

  get baggage(): string | undefined {
    return this.#connect?.baggage;
  }

  get traceparent(): string | undefined {
    return this.#connect?.traceparent;
  }

  get forwardedNetwork(): string | undefined {
    return this.#connect?.forwardedNetwork;
  }

  get source(): SocketAddress {
    return this.#peer.source;
  }

  get local(): SocketAddress {
    return this.#peer.local;
  }

  get signal(): AbortSignal {
    this.#controller ??= new AbortController();
    if (this.#loss !== undefined) this.#controller.abort();
    return this.#controller.signal;
  }

  accept(headers: readonly (readonly [string, string])[] = []): HboneStream {
    if (!this.#answered) {
      this.#answered = true;
      this.#stream.sendHeaders([
        statusField(200),
        ...headers.map(([name, value]) => headerField(name, value)),
      ]);
    }
    return this;
  }

  refuse(status: RefusalStatus): void {
    if (this.#answered) return;
    this.#answered = true;
    this.#early = undefined;
    this.#stream.sendHeaders([statusField(status)], true);
    // The answer is complete: nothing of what may still come is wanted (RFC 9113 8.1).
    this.#stream.reset(ErrorCode.NO_ERROR);
  }

  start(events: HboneStreamEvents): void {
    this.#events = events;
    this.#connect = undefined;
    this.#controller = undefined;
    if (this.#earlyBytes > 0) this.#deliverEarly(events);
    if (this.#earlyEnd) events.onTunnelEnd();
    if (this.#loss !== undefined) events.onTunnelLoss(this.#loss);
  }

  write(bytes: Uint8Array): "more" | "pause" | "closed" {
    return this.#stream.write(bytes);
  }

  end(): void {
    this.#stream.end();
  }

  reset(): void {
    this.#stream.reset(ErrorCode.CANCEL);
  }

  consumed(byteCount: number): void {
    this.#stream.consumed(byteCount);
  }

  /** Trailers of a CONNECT say nothing. */
  onHeaders(): void {}

  onData(pieces: readonly Uint8Array[], byteCount: number): DeliveryResult {
    if (this.#events !== undefined) return this.#events.onTunnelData(pieces, byteCount);
    if (this.#loss !== undefined) return "consumed";
    this.#early ??= [];
    for (const piece of pieces) this.#early.push(Buffer.from(piece));
    this.#earlyBytes += byteCount;
    return "copied";
  }

  onEnd(): void {
    if (this.#events !== undefined) this.#events.onTunnelEnd();
    else this.#earlyEnd = true;
  }

  onWritable(): void {
    this.#events?.onTunnelWritable();
  }

  onReset(end: StreamEnd): void {
    const loss = streamLoss(end);
    this.#loss = loss;
    if (this.#events !== undefined) {
      this.#events.onTunnelLoss(loss);
      return;
    }
    this.#early = undefined;
    this.#earlyBytes = 0;
    this.#controller?.abort();
  }

  #deliverEarly(events: HboneStreamEvents): void {
    const pieces = this.#early ?? [];
    const byteCount = this.#earlyBytes;
    this.#early = undefined;
    this.#earlyBytes = 0;
    if (events.onTunnelData(pieces, byteCount) === "consumed") this.#stream.consumed(byteCount);
  }
}
