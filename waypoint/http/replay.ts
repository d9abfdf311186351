/** A request's body, kept while it may have to be sent again: up to a bound, then it cannot be. */
import type { HttpField } from "#core/http/message.ts";
import type { ClientExchange } from "#core/http/exchange.ts";

const MAX_KEPT_BYTES = 64 * 1024;

export class Replay {
  #pieces: Buffer[] | undefined = [];
  #byteCount = 0;
  #trailers: readonly HttpField[] | undefined;

  /** Whatever came so far is here. */
  get isWhole(): boolean {
    return this.#pieces !== undefined;
  }

  keep(bytes: Uint8Array): void {
    if (this.#pieces === undefined) return;
    this.#byteCount += bytes.length;
    if (this.#byteCount > MAX_KEPT_BYTES) this.drop();
    else this.#pieces.push(Buffer.from(bytes));
  }

  end(trailers: readonly HttpField[]): void {
    this.#trailers = trailers;
  }

  /** The request will not be sent again. */
  drop(): void {
    this.#pieces = undefined;
  }

  /** "pause": nothing more for now. */
  sendTo(exchange: ClientExchange): "more" | "pause" {
    let result: "more" | "pause" = "more";
    for (const piece of this.#pieces ?? []) {
      if (exchange.write(piece) === "pause") result = "pause";
    }
    if (this.#trailers !== undefined) exchange.end(this.#trailers);
    return result;
  }
}
