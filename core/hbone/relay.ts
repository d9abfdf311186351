/**
 * HOT PATH. Joins an application's TCP connection and a tunnel stream. FIN travels as END_STREAM and back; RST as
 * RST_STREAM and back; a lost tunnel resets the application and never looks like a clean end.
 */
import type { Handle, HandleEvents, ReadBuffers } from "../handle/handle.ts";
import { sharedReadBuffer, smallSharedReadBuffer } from "../handle/shared-read-buffers.ts";
import type { DeliveryResult, HboneStream, HboneStreamEvents, StreamLoss } from "./hbone-stream.ts";
import {
  appReset,
  type Ending,
  lossEnding,
  type Relay,
  relayAborted,
  RelayOutcome,
  type RelayResult,
} from "./relay-result.ts";

export type { Relay, RelayEnd, RelayResult } from "./relay-result.ts";
export { relayPlain } from "./relay-plain.ts";

/** Takes over both; neither must have been started. */
export function relay(tcp: Handle, stream: HboneStream): Relay {
  return new TunnelRelay(tcp, stream);
}

class TunnelRelay implements Relay, HandleEvents, HboneStreamEvents, ReadBuffers {
  readonly #tcp: Handle;
  readonly #stream: HboneStream;
  readonly #outcome = new RelayOutcome();
  bytesSent = 0;
  bytesReceived = 0;
  #appEnded = false;
  #streamEnded = false;
  /** The peer ended cleanly and then said that it takes nothing more: the application's next byte gets a RST. */
  #peerGone: StreamLoss | undefined;
  /** What had been received when the application last sent. */
  #receivedAtSend = -1;
  /** Given to the handle and not yet with the kernel. */
  #outstanding = 0;

  constructor(tcp: Handle, stream: HboneStream) {
    this.#tcp = tcp;
    this.#stream = stream;
    tcp.start(this, this);
    stream.start(this);
  }

  get done(): Promise<RelayResult> {
    return this.#outcome.done;
  }

  whenDone(listener: (result: RelayResult) => void): void {
    this.#outcome.whenDone(listener);
  }

  get isAtRest(): boolean {
    const isAnswered = this.#receivedAtSend < this.bytesReceived;
    return isAnswered && this.#stream.isOpen && this.#outstanding === 0 && this.#tcp.queuedBytes === 0;
  }

  abort(reason: string): void {
    this.#break(relayAborted(reason));
  }

  close(reason: string): void {
    if (this.#outcome.isSettled) return;
    this.#peerGone = { kind: "closed-by-policy", reason };
    this.#tcp.shutdown();
    this.#stream.end();
  }

  /** All reads share memory: what is read is copied into the tunnel's output before `onData` returns. */
  next(): Uint8Array {
    return this.#stream.isOpen ? sharedReadBuffer : smallSharedReadBuffer;
  }

  onData(bytes: Uint8Array): void {
    if (this.#peerGone !== undefined) {
      this.#break(lossEnding(this.#peerGone));
      return;
    }
    this.bytesSent += bytes.length;
    this.#receivedAtSend = this.bytesReceived;
    if (this.#stream.write(bytes) === "pause") this.#tcp.pause();
  }

  onEnd(): void {
    this.#appEnded = true;
    this.#stream.end();
  }

  onDrain(): void {
    const byteCount = this.#outstanding;
    if (byteCount === 0) return;
    this.#outstanding = 0;
    this.#stream.consumed(byteCount);
  }

  onClose(error: Error | undefined): void {
    this.onDrain(); // Nothing references read memory any more.
    if (error === undefined && this.#appEnded && this.#streamEnded) this.#settle(undefined);
    else this.#break(appReset(error));
  }

  onTunnelData(pieces: readonly Uint8Array[], byteCount: number): DeliveryResult {
    const isCopied = this.#tcp.queuedBytes > 0;
    const result = this.#tcp.writev(pieces);
    if (result === "closed") return "consumed";
    this.bytesReceived += byteCount;
    if (result === "sent") return "consumed";
    this.#outstanding += byteCount;
    return isCopied || this.#tcp.copiesOnWrite ? "copied" : "held";
  }

  onTunnelEnd(): void {
    this.#streamEnded = true;
    this.#tcp.shutdown();
  }

  onTunnelWritable(): void {
    this.#tcp.resume();
  }

  onTunnelLoss(loss: StreamLoss): void {
    const hasEndedCleanly = this.#streamEnded && loss.kind === "reset-by-peer";
    if (!hasEndedCleanly) {
      this.#break(lossEnding(loss));
      return;
    }
    this.#peerGone = loss;
    this.#tcp.resume();
  }

  /** Ends both sides abnormally, once. */
  #break(ending: Ending): void {
    if (this.#outcome.isSettled) return;
    this.#settle(ending);
    this.#tcp.reset();
    this.#stream.reset();
  }

  #settle(ending: Ending | undefined): void {
    const { bytesSent, bytesReceived } = this;
    this.#outcome.settle(
      ending === undefined
        ? { bytesSent, bytesReceived, end: "clean" }
        : { bytesSent, bytesReceived, ...ending },
    );
  }
}
