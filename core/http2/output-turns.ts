/**
 * HOT PATH. Streams that wait for room in the output go on in turn, and only as many at a time as have room for a read
 * each: what all of them read at once would have to be copied and kept, and would no longer lie in the processor's
 * cache. A stream that has its turn and no bytes loses it after one turn of the event loop.
 */
import type { FrameWriter } from "./frame-writer.ts";
import type { Http2Stream } from "./http2-stream.ts";

/**
 * What may gather behind the write in flight: readers are paused above, resumed below. Bounds both memory and the delay
 * of everyone else's bytes.
 */
const OUTPUT_HIGH = 128 * 1024;
const OUTPUT_LOW = 64 * 1024;
/** Expected of a stream that goes on. */
const READ_BYTES = 128 * 1024;
/** From here on a write is bulk: its stream waits until the write is over, so that nothing gathers behind it. */
const BULK_BYTES = 16 * 1024;

export class OutputTurns {
  readonly #writer: FrameWriter;
  /** True: the stream's owner was told, and may read. */
  readonly #goOn: (stream: Http2Stream) => boolean;
  readonly #check = (): void => this.#checkTurn();
  #waiting: Http2Stream[] = [];
  /** Bytes that the streams whose turn it is have not brought yet. */
  #expected = 0;
  /** A turn was given since the last check. */
  #isFresh = false;
  #isChecking = false;

  constructor(writer: FrameWriter, goOn: (stream: Http2Stream) => boolean) {
    this.#writer = writer;
    this.#goOn = goOn;
  }

  /** Back of the line. */
  wait(stream: Http2Stream): void {
    stream.blocked = "output";
    this.#waiting.push(stream);
  }

  /** After a write of `byteCount`: whether its stream may write more before its next turn. */
  mayGoOn(byteCount: number): boolean {
    const isBulk = byteCount >= BULK_BYTES;
    if (isBulk && this.#expected > 0) this.#expected -= READ_BYTES;
    if (!this.#writer.isWriting) return true;
    return !isBulk && this.#writer.pendingBytes < OUTPUT_HIGH;
  }

  /** The writer has room again. */
  onWritten(): void {
    if (this.#writer.pendingBytes < OUTPUT_LOW) this.pump();
  }

  /** Lets streams go on, in their order, while there is room. */
  pump(): void {
    while (this.#waiting.length > 0 && this.#writer.pendingBytes + this.#expected < OUTPUT_HIGH) {
      const stream = this.#waiting.shift();
      if (stream === undefined || stream.closed) continue;
      // Before it is told: it may write at once.
      this.#expected += READ_BYTES;
      this.#isFresh = true;
      if (!this.#goOn(stream)) this.#expected -= READ_BYTES;
    }
    this.#checkLater();
  }

  /** Reads come between two checks. */
  #checkLater(): void {
    if (this.#waiting.length === 0 || this.#isChecking) return;
    this.#isChecking = true;
    setImmediate(this.#check);
  }

  #checkTurn(): void {
    this.#isChecking = false;
    if (this.#isFresh) {
      this.#isFresh = false;
      this.#checkLater();
      return;
    }
    this.#expected = 0;
    // While something is being written, its end is the next occasion.
    if (!this.#writer.isWriting) this.pump();
  }
}
