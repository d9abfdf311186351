/**
 * HOT PATH. Ends of HTTP/1.1 messages in a stream of bytes, for load and upstream alone: lengths are believed. Requests have
 * no body here; an answer has the `content-length` that it says.
 */
const HEAD_END = Buffer.from("\r\n\r\n");
const LENGTH = /\r\ncontent-length: *(\d+)/i;

export class MessageCounter {
  readonly #onMessage: (status: string) => void;
  /** Head bytes that came without their end. */
  #rest: Buffer | undefined;
  /** Body bytes that are still to come. */
  #missing = 0;
  #status = "";

  /** `onMessage` gets the status of an answer, or the method of a request. */
  constructor(onMessage: (status: string) => void) {
    this.#onMessage = onMessage;
  }

  /** The view is not kept. */
  feed(bytes: Uint8Array): void {
    let at = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
    if (this.#rest !== undefined) {
      at = Buffer.concat([this.#rest, at]);
      this.#rest = undefined;
    }
    while (at.length > 0) {
      if (this.#missing > 0) {
        const taken = Math.min(this.#missing, at.length);
        this.#missing -= taken;
        at = at.subarray(taken);
        if (this.#missing === 0) this.#onMessage(this.#status);
        continue;
      }
      const end = at.indexOf(HEAD_END);
      if (end < 0) {
        this.#rest = Buffer.from(at);
        return;
      }
      const head = at.toString("latin1", 0, end);
      at = at.subarray(end + HEAD_END.length);
      this.#status = head.startsWith("HTTP/") ? head.slice(9, 12) : head.slice(0, head.indexOf(" "));
      this.#missing = Number(LENGTH.exec(head)?.[1] ?? 0);
      if (this.#missing === 0) this.#onMessage(this.#status);
    }
  }
}
