/**
 * An application to which no HTTP may be written: where a policy denies HTTP alone, a connection that was judged as one must not turn out to be
 * HTTP. The first bytes are kept until it is clear what they are; the application's own pass meanwhile, so that it may speak first.
 */
import type { Clock } from "../base/clock.ts";
import { readFirstBytes } from "../http/first-bytes.ts";
import type { Handle, WriteResult } from "./handle.ts";
import { WrappedHandle } from "./wrapped-handle.ts";

export interface HttpRefusal {
  readonly clock: Clock;
  /** What has begun and may still become HTTP waits so long for its rest. */
  readonly firstBytesMs: number;
  /** Called instead of passing the bytes on; it is to reset the connection. */
  readonly onHttp: () => void;
}

export class HttpRefusingHandle extends WrappedHandle {
  readonly #options: HttpRefusal;
  #kept: Buffer = Buffer.alloc(0);
  #verdict: "open" | "passing" | "refused" = "open";
  #cancelTimer: () => void = noTimer;

  constructor(application: Handle, options: HttpRefusal) {
    super(application);
    this.#options = options;
  }

  override write(bytes: Uint8Array): WriteResult {
    return this.#verdict === "passing" ? super.write(bytes) : this.#look([bytes]);
  }

  override writev(pieces: readonly Uint8Array[]): WriteResult {
    return this.#verdict === "passing" ? super.writev(pieces) : this.#look(pieces);
  }

  override shutdown(): void {
    // What may have become HTTP and ended is none.
    if (this.#verdict === "open") this.#pass();
    super.shutdown();
  }

  override reset(): void {
    this.#cancelTimer();
    super.reset();
  }

  #look(pieces: readonly Uint8Array[]): WriteResult {
    if (this.closed || this.#verdict === "refused") return "closed";
    this.#kept = Buffer.concat([this.#kept, ...pieces]);
    const verdict = readFirstBytes(this.#kept);
    if (verdict === "other" || verdict === "tls") return this.#pass();
    if (verdict !== "more") this.#refuse();
    else if (this.#cancelTimer === noTimer) {
      this.#cancelTimer = this.#options.clock.after(this.#options.firstBytesMs, () => this.#refuse());
    }
    return "sent";
  }

  #pass(): WriteResult {
    this.#cancelTimer();
    this.#verdict = "passing";
    const kept = this.#kept;
    this.#kept = Buffer.alloc(0);
    return kept.length > 0 ? super.write(kept) : "sent";
  }

  #refuse(): void {
    if (this.#verdict !== "open" || this.closed) return;
    this.#verdict = "refused";
    this.#cancelTimer();
    this.#options.onHttp();
  }
}

const noTimer = (): void => undefined;
