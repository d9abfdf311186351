/** HOT PATH. One body on its way out, in the framing that its head announced. */
import type { HttpField } from "../http/message.ts";
import { trailersText, type WireFraming } from "./head-writer.ts";
import type { Output } from "./output.ts";

export class BodyFrames {
  readonly #output: Output;
  readonly #framing: WireFraming;
  /** Of a body by length: what is missing. */
  #remaining: number;

  constructor(output: Output, framing: WireFraming, length: number) {
    this.#output = output;
    this.#framing = framing;
    this.#remaining = framing === "length" ? length : 0;
  }

  /** "broken": more than was announced. */
  write(bytes: Uint8Array): "more" | "pause" | "broken" {
    if (bytes.length === 0) return "more";
    switch (this.#framing) {
      case "none":
        // Of an answer to HEAD: the body is not sent.
        return "more";
      case "length":
        this.#remaining -= bytes.length;
        if (this.#remaining < 0) return "broken";
        this.#output.bytes(bytes);
        break;
      case "chunked":
        this.#output.text(`${bytes.length.toString(16)}\r\n`);
        this.#output.bytes(bytes, CRLF);
        break;
      case "raw":
        this.#output.bytes(bytes);
        break;
    }
    return this.#output.pressure();
  }

  /** False: the body is shorter than announced, and must not look complete. */
  end(trailers: readonly HttpField[]): boolean {
    if (this.#framing === "chunked") this.#output.text(trailersText(trailers));
    return this.#remaining === 0;
  }
}

const CRLF: Uint8Array = Buffer.from("\r\n", "latin1");
