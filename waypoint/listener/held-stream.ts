/**
 * HOT PATH once it passes. A tunnel stream whose first events are looked at before somebody takes it over: what came is kept (the stream's window
 * bounds it, since nothing of it is credited) and delivered again by `start`.
 */
import type { DeliveryResult, HboneStream, HboneStreamEvents, StreamLoss } from "#core/hbone/hbone-stream.ts";

/** Told until `start`. */
export interface HeldStreamWatcher {
  onOpen?(): void;
  /** Everything that came so far. */
  onBytes?(bytes: Uint8Array): void;
  onEnd?(): void;
  onLoss(loss: StreamLoss): void;
}

export class HeldStream implements HboneStream, HboneStreamEvents {
  readonly #stream: HboneStream;
  #watcher: HeldStreamWatcher | undefined;
  #events: HboneStreamEvents | undefined;
  #kept: Buffer = NOTHING;
  #hasEnded = false;
  #loss: StreamLoss | undefined;

  /** Starts `stream`. */
  constructor(stream: HboneStream, watcher: HeldStreamWatcher) {
    this.#stream = stream;
    this.#watcher = watcher;
    stream.start(this);
  }

  get isOpen(): boolean {
    return this.#stream.isOpen;
  }

  get isLeaving(): boolean | undefined {
    return this.#stream.isLeaving;
  }

  start(events: HboneStreamEvents): void {
    this.#events = events;
    this.#watcher = undefined;
    const kept = this.#kept;
    this.#kept = NOTHING;
    if (kept.length > 0 && events.onTunnelData([kept], kept.length) === "consumed") {
      this.#stream.consumed(kept.length);
    }
    if (this.#hasEnded) events.onTunnelEnd();
    if (this.#loss !== undefined) events.onTunnelLoss(this.#loss);
  }

  write(bytes: Uint8Array): "more" | "pause" | "closed" {
    return this.#stream.write(bytes);
  }

  end(): void {
    this.#stream.end();
  }

  reset(): void {
    this.#stream.reset();
  }

  consumed(byteCount: number): void {
    this.#stream.consumed(byteCount);
  }

  onTunnelOpen(): void {
    this.#watcher?.onOpen?.();
  }

  onTunnelData(pieces: readonly Uint8Array[], byteCount: number): DeliveryResult {
    if (this.#events !== undefined) return this.#events.onTunnelData(pieces, byteCount);
    this.#kept = Buffer.concat([this.#kept, ...pieces]);
    this.#watcher?.onBytes?.(this.#kept);
    return "copied";
  }

  onTunnelEnd(): void {
    if (this.#events !== undefined) {
      this.#events.onTunnelEnd();
      return;
    }
    this.#hasEnded = true;
    this.#watcher?.onEnd?.();
  }

  onTunnelWritable(): void {
    this.#events?.onTunnelWritable();
  }

  onTunnelLoss(loss: StreamLoss): void {
    if (this.#events !== undefined) {
      this.#events.onTunnelLoss(loss);
      return;
    }
    this.#loss = loss;
    this.#watcher?.onLoss(loss);
  }
}

const NOTHING: Buffer = Buffer.alloc(0);
