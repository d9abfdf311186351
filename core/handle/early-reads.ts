/** What a connection delivered before anybody asked for it: copies, in order. Plain sockets are not read before. */
export class EarlyReads {
  readonly #reads: Uint8Array[] = [];

  get isEmpty(): boolean {
    return this.#reads.length === 0;
  }

  keep(bytes: Uint8Array): void {
    this.#reads.push(Buffer.from(bytes));
  }

  /** Until `take` answers false. */
  deliver(take: (bytes: Uint8Array) => boolean): void {
    for (let next = this.#reads[0]; next !== undefined; next = this.#reads[0]) {
      this.#reads.shift();
      if (!take(next)) return;
    }
  }
}
