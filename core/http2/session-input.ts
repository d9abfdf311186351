/**
 * HOT PATH. What each frame of the peer does to streams and session (RFC 9113 5.1, 6, 8.1). Errors are of two kinds:
 * RST_STREAM for one stream, GOAWAY for the connection; both count against the flood limits.
 */
import type { Delivery } from "./delivery.ts";
import { ErrorCode } from "./error-codes.ts";
import type { FrameHeader } from "./frame-rules.ts";
import { Flag, FrameType } from "./frame-types.ts";
import type { FrameSink } from "./frame-reader.ts";
import { HeadersInput } from "./headers-input.ts";
import type { Http2Stream } from "./http2-stream.ts";
import type { SessionCore } from "./session-core.ts";
import { applySettings, checkSettingsFrame } from "./settings.ts";

/** What frames do to the session as a whole. */
export interface SessionControl {
  /** GOAWAY and close. */
  fail(code: ErrorCode, reason: string): void;
  onPeerSettings(): void;
  onSettingsAcknowledged(): void;
  onPong(payload: Uint8Array): void;
  onPeerGoaway(lastStream: number, code: number): void;
}

export class SessionInput implements FrameSink {
  readonly #core: SessionCore;
  readonly #control: SessionControl;
  readonly #delivery: Delivery;
  readonly #headers: HeadersInput;
  #settingsSeen = false;
  /** Stream of the DATA frame that is being read; undefined: the payload is dropped. */
  #stream: Http2Stream | undefined;
  #flowBytes = 0;
  #dataBytes = 0;

  constructor(core: SessionCore, control: SessionControl, delivery: Delivery) {
    this.#core = core;
    this.#control = control;
    this.#delivery = delivery;
    this.#headers = new HeadersInput(core, control, delivery);
    core.onOwnersBreach = () => this.#countReset();
  }

  onDataFrame(streamId: number, flowBytes: number): void {
    this.#stream = undefined;
    this.#flowBytes = flowBytes;
    this.#dataBytes = 0;
    if (!this.#expectSettings()) return;
    if (!this.#core.onConnectionReceived(flowBytes)) {
      this.#control.fail(ErrorCode.FLOW_CONTROL_ERROR, "DATA beyond the connection's window");
      return;
    }
    this.#core.guard.onData(flowBytes);
    const stream = this.#known(streamId);
    if (stream === "idle") this.#control.fail(ErrorCode.PROTOCOL_ERROR, "DATA on an idle stream");
    else if (stream === undefined) this.#dataOnClosed(streamId);
    else this.#stream = this.#mayReceive(stream, flowBytes) ? stream : undefined;
  }

  onDataBytes(bytes: Uint8Array, start: number, end: number): void {
    if (this.#stream === undefined) return;
    this.#dataBytes += end - start;
    this.#delivery.add(this.#stream, bytes, { start, end });
  }

  onDataEnd(endStream: boolean): void {
    const stream = this.#stream;
    if (this.#flowBytes === 0 && !endStream && !this.#countControl()) return;
    if (stream === undefined) return;
    const padding = this.#flowBytes - this.#dataBytes;
    if (endStream) {
      stream.remoteEnding = true;
      this.#delivery.flush();
      this.#core.onRemoteEnd(stream);
    } else if (padding > 0) {
      this.#core.credit(stream, padding);
    }
  }

  onHeaderBlock(streamId: number, block: Uint8Array, endStream: boolean): void {
    if (this.#expectSettings()) this.#headers.onBlock(streamId, block, endStream);
  }

  onControlFrame(header: FrameHeader, payload: Uint8Array): void {
    if (header.type === FrameType.SETTINGS) {
      this.#onSettings(header, payload);
      return;
    }
    if (!this.#expectSettings()) return;
    if (header.type === FrameType.RST_STREAM) {
      this.#onReset(header.streamId, readUint32(payload, 0));
      return;
    }
    if (!this.#countControl()) return;
    switch (header.type) {
      case FrameType.WINDOW_UPDATE:
        return this.#onWindowUpdate(header.streamId, readUint32(payload, 0) & 0x7fff_ffff);
      case FrameType.PING:
        if ((header.flags & Flag.ACK) !== 0) this.#control.onPong(payload);
        else this.#core.writer.control(FrameType.PING, Flag.ACK, 0, payload);
        return;
      case FrameType.GOAWAY:
        return this.#control.onPeerGoaway(readUint32(payload, 0) & 0x7fff_ffff, readUint32(payload, 4));
      default: // PRIORITY and unknown types say nothing to us (RFC 9113 5.3.2, 5.5)
    }
  }

  onFrameError(code: ErrorCode, reason: string): void {
    this.#control.fail(code, reason);
  }

  #mayReceive(stream: Http2Stream, flowBytes: number): boolean {
    if (stream.remoteEnded) {
      this.#failStream(stream, ErrorCode.STREAM_CLOSED);
      return false;
    }
    if (!stream.headReceived) {
      this.#failStream(stream, ErrorCode.PROTOCOL_ERROR);
      return false;
    }
    if (stream.receive.onReceived(flowBytes)) return true;
    this.#failStream(stream, ErrorCode.FLOW_CONTROL_ERROR);
    return false;
  }

  /** Late DATA of a stream that we reset is dropped; on one that the peer itself ended it is an error. */
  #dataOnClosed(streamId: number): void {
    if (this.#core.recentlyReset.has(streamId)) return;
    if (!this.#countReset()) return;
    this.#core.writer.number(FrameType.RST_STREAM, streamId, ErrorCode.STREAM_CLOSED);
    this.#core.events.onBreach?.(ErrorCode.STREAM_CLOSED);
  }

  #onReset(streamId: number, code: number): void {
    const stream = this.#known(streamId);
    if (stream === "idle") {
      this.#control.fail(ErrorCode.PROTOCOL_ERROR, "RST_STREAM on an idle stream");
      return;
    }
    if (stream === undefined) {
      this.#countControl();
      return;
    }
    // What was answered may be reset like any connection; what was not has cost us a dial.
    if (this.#core.role === "server" && !stream.headSent && !this.#countReset()) return;
    this.#delivery.flush();
    const isRefusal = code === ErrorCode.REFUSED_STREAM && this.#core.role === "client";
    this.#core.endStream(stream, isRefusal ? { kind: "refused" } : { kind: "reset", code });
  }

  #onWindowUpdate(streamId: number, increment: number): void {
    if (streamId === 0) {
      if (increment === 0) this.#control.fail(ErrorCode.PROTOCOL_ERROR, "WINDOW_UPDATE of 0");
      else if (!this.#core.queue.onConnectionCredit(increment)) {
        this.#control.fail(ErrorCode.FLOW_CONTROL_ERROR, "connection window beyond 2^31-1");
      }
      return;
    }
    const stream = this.#known(streamId);
    if (stream === "idle") this.#control.fail(ErrorCode.PROTOCOL_ERROR, "WINDOW_UPDATE on an idle stream");
    else if (stream === undefined) return;
    else if (increment === 0) this.#failStream(stream, ErrorCode.PROTOCOL_ERROR);
    else if (!this.#core.queue.onStreamCredit(stream, increment)) {
      this.#failStream(stream, ErrorCode.FLOW_CONTROL_ERROR);
    }
  }

  #onSettings(header: FrameHeader, payload: Uint8Array): void {
    const ack = (header.flags & Flag.ACK) !== 0;
    if (ack && !this.#expectSettings()) return;
    const refusal = checkSettingsFrame({ streamId: header.streamId, ack, length: header.length });
    if (refusal !== undefined) {
      this.#control.fail(refusal.code, refusal.reason);
      return;
    }
    if (!this.#countControl()) return;
    if (ack) this.#control.onSettingsAcknowledged();
    else this.#apply(payload);
  }

  #apply(payload: Uint8Array): void {
    const core = this.#core;
    const sender = core.role === "client" ? "server" : "client";
    const outcome = applySettings(core.peerSettings, payload, sender);
    if (outcome.kind === "refused") {
      this.#control.fail(outcome.code, outcome.reason);
      return;
    }
    const { settings } = outcome;
    core.peerSettings = settings;
    core.queue.peerMaxFrameSize = settings.maxFrameSize;
    core.writer.control(FrameType.SETTINGS, Flag.ACK, 0, new Uint8Array(0));
    core.setPeerTable(settings.headerTableSize);
    if (!core.queue.onInitialWindow(settings.initialWindowSize, core.streams.values())) {
      this.#control.fail(ErrorCode.FLOW_CONTROL_ERROR, "INITIAL_WINDOW_SIZE lifts a window beyond 2^31-1");
      return;
    }
    this.#settingsSeen = true;
    this.#control.onPeerSettings();
  }

  #expectSettings(): boolean {
    if (this.#settingsSeen) return true;
    this.#control.fail(ErrorCode.PROTOCOL_ERROR, "the first frame is not SETTINGS");
    return false;
  }

  /** "idle": never used; undefined: over. */
  #known(streamId: number): Http2Stream | "idle" | undefined {
    const stream = this.#core.streams.get(streamId);
    if (stream !== undefined) return stream;
    const isPeers = (streamId & 1) === (this.#core.role === "server" ? 1 : 0);
    const isIdle = isPeers ? streamId > this.#core.lastPeerStream : streamId >= this.#core.nextStream;
    return isIdle ? "idle" : undefined;
  }

  #failStream(stream: Http2Stream, code: ErrorCode): void {
    if (!this.#countReset()) return;
    this.#core.failStream(stream, code);
    this.#core.events.onBreach?.(code);
  }

  #countReset(): boolean {
    if (this.#core.guard.onReset(this.#core.clock.monotonicMs())) return true;
    this.#control.fail(ErrorCode.ENHANCE_YOUR_CALM, "too many streams were reset");
    return false;
  }

  #countControl(): boolean {
    if (this.#core.guard.onControlFrame(this.#core.clock.monotonicMs())) return true;
    this.#control.fail(ErrorCode.ENHANCE_YOUR_CALM, "too many control frames");
    return false;
  }
}

function readUint32(bytes: Uint8Array, at: number): number {
  const high = ((bytes[at] as number) << 8) | (bytes[at + 1] as number);
  return high * 0x1_0000 + (((bytes[at + 2] as number) << 8) | (bytes[at + 3] as number));
}
