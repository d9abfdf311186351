/** HTTP/1.1 by hand on a handle: what is sent is exactly the text, what comes is read as a caller would. */
import type { Handle } from "#core/handle/handle.ts";

export interface Answer {
  readonly status: number;
  /** Lower-case names; of several lines the last. */
  readonly fields: Readonly<Record<string, string>>;
  readonly body: string;
}

export class HttpCaller {
  readonly handle: Handle;
  #text = "";
  #isEnded = false;
  #closed: { readonly error: Error | undefined } | undefined;
  readonly #waiting = new Set<() => void>();

  constructor(handle: Handle) {
    this.handle = handle;
    handle.start({
      onData: (bytes) => this.#note(() => (this.#text += Buffer.from(bytes).toString("latin1"))),
      onEnd: () => this.#note(() => (this.#isEnded = true)),
      onDrain: () => undefined,
      onClose: (error) => this.#note(() => (this.#closed = { error })),
    });
  }

  /** What came and was not taken. */
  get rest(): string {
    return this.#text;
  }

  send(text: string): void {
    this.handle.write(Buffer.from(text, "latin1"));
  }

  async get(path: string, fields: Readonly<Record<string, string>> = {}): Promise<Answer> {
    return this.request("GET", path, fields);
  }

  async request(
    method: string,
    path: string,
    fields: Readonly<Record<string, string>> = {},
    body = "",
  ): Promise<Answer> {
    const lines = Object.entries({ host: "catalog", ...fields }).map(
      ([name, value]) => `${name}: ${value}\r\n`,
    );
    const length = body === "" ? "" : `content-length: ${body.length}\r\n`;
    this.send(`${method} ${path} HTTP/1.1\r\n${lines.join("")}${length}\r\n${body}`);
    return this.answer(method);
  }

  /** The next answer, interim ones included. */
  async answer(method = "GET"): Promise<Answer> {
    const head = await this.#until(() => {
      const end = this.#text.indexOf("\r\n\r\n");
      return end < 0 ? undefined : this.#take(end + 4);
    });
    const [first = "", ...lines] = head.trimEnd().split("\r\n");
    const fields = Object.fromEntries(
      lines.map((line) => {
        const colon = line.indexOf(":");
        return [line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim()];
      }),
    );
    const status = Number(first.split(" ")[1]);
    const hasBody = method !== "HEAD" && status >= 200 && status !== 204 && status !== 304;
    return { status, fields, body: hasBody ? await this.#body(fields) : "" };
  }

  received(length: number): Promise<string> {
    return this.#until(() => (this.#text.length >= length ? this.#take(length) : undefined));
  }

  /** "end": in order; "reset": broken off. */
  async ended(): Promise<"end" | "reset"> {
    await this.#until(() => (this.#isEnded || this.#closed !== undefined ? true : undefined), true);
    return this.#isEnded ? "end" : "reset";
  }

  async #body(fields: Readonly<Record<string, string>>): Promise<string> {
    if (fields["transfer-encoding"] === "chunked") return this.#chunks();
    const length = fields["content-length"];
    if (length !== undefined) return this.received(Number(length));
    await this.ended();
    return this.#take(this.#text.length);
  }

  async #chunks(): Promise<string> {
    let body = "";
    for (;;) {
      const line = await this.#until(() => {
        const end = this.#text.indexOf("\r\n");
        return end < 0 ? undefined : this.#take(end + 2);
      });
      const size = Number.parseInt(line, 16);
      const chunk = await this.received(size + 2);
      if (size === 0) return body;
      body += chunk.slice(0, -2);
    }
  }

  #take(length: number): string {
    const taken = this.#text.slice(0, length);
    this.#text = this.#text.slice(length);
    return taken;
  }

  #note(change: () => unknown): void {
    change();
    for (const check of this.#waiting) check();
  }

  #until<T>(read: () => T | undefined, alsoClosed = false): Promise<T> {
    return new Promise((resolve, reject) => {
      const check = (): void => {
        const value = read();
        if (value !== undefined) {
          this.#waiting.delete(check);
          resolve(value);
        } else if (!alsoClosed && this.#closed !== undefined) {
          this.#waiting.delete(check);
          reject(
            new Error(`the connection ended: ${this.#closed.error?.message ?? "clean"}; got ${this.#text}`),
          );
        }
      };
      this.#waiting.add(check);
      check();
    });
  }
}
