/**
 * HOT PATH. Large buffers that are lent while something moves and come back when it rests, so that idle tunnels cost
 * next to nothing. One pool per size; what is beyond its bound is left to the garbage collector.
 */

export class BufferPool {
  readonly bufferBytes: number;
  readonly #maxIdle: number;
  readonly #idle: Buffer[] = [];
  #lent = 0;

  constructor(bufferBytes: number, maxIdle: number) {
    this.bufferBytes = bufferBytes;
    this.#maxIdle = maxIdle;
  }

  /** Buffers that are out now. */
  get lent(): number {
    return this.#lent;
  }

  lend(): Buffer {
    this.#lent++;
    return this.#idle.pop() ?? Buffer.allocUnsafeSlow(this.bufferBytes);
  }

  giveBack(buffer: Buffer): void {
    this.#lent--;
    if (this.#idle.length < this.#maxIdle) this.#idle.push(buffer);
  }
}
