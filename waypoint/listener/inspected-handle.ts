/**
 * A caller's side of a plain connection whose first bytes are looked at before they pass: where a policy denies HTTP alone, a connection that was
 * judged as one must not turn out to be HTTP. Bytes to the caller pass meanwhile, so that the server may speak first.
 */
import type { Clock } from "#core/base/clock.ts";
import type { Handle, HandleEvents, ReadBuffers } from "#core/handle/handle.ts";
import { PassingHandle } from "#core/handle/passing-handle.ts";
import { readFirstBytes } from "#core/http/first-bytes.ts";

export interface InspectionOptions {
  readonly clock: Clock;
  /** What has begun and may still become HTTP waits so long for its rest. */
  readonly firstBytesMs: number;
  /** Called instead of passing the bytes on; the connection is reset. */
  readonly onHttp: () => void;
}

export class InspectedHandle extends PassingHandle {
  readonly #options: InspectionOptions;
  #kept: Buffer = Buffer.alloc(0);
  #isRefused = false;
  #cancelTimer: () => void = noTimer;

  constructor(inner: Handle, options: InspectionOptions) {
    super(inner);
    this.#options = options;
  }

  override start(events: HandleEvents, buffers?: ReadBuffers): void {
    super.start(events, buffers);
    this.inner.start(this, this);
  }

  override reset(): void {
    this.#cancelTimer();
    super.reset();
  }

  override onEnd(): void {
    // What may have become HTTP and ended is none.
    this.#release();
    super.onEnd();
  }

  override onClose(error: Error | undefined): void {
    this.#cancelTimer();
    super.onClose(error);
  }

  protected override onFirstData(bytes: Uint8Array): void {
    if (this.#isRefused) return;
    const { clock, firstBytesMs } = this.#options;
    this.#kept = Buffer.concat([this.#kept, bytes]);
    const verdict = readFirstBytes(this.#kept);
    if (verdict === "other" || verdict === "tls") this.#release();
    else if (verdict !== "more") this.#refuse();
    else if (this.#cancelTimer === noTimer) {
      this.#cancelTimer = clock.after(firstBytesMs, () => this.#refuse());
    }
  }

  #release(): void {
    if (this.isPassing || this.#isRefused) return;
    this.#cancelTimer();
    this.pass();
    const kept = this.#kept;
    this.#kept = Buffer.alloc(0);
    if (kept.length > 0) this.events?.onData(kept);
  }

  #refuse(): void {
    if (this.isPassing || this.#isRefused) return;
    this.#isRefused = true;
    this.#options.onHttp();
  }
}

const noTimer = (): void => undefined;
