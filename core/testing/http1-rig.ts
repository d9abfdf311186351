/** A caller, a server connection, a forwarder, client connections and upstreams, all in memory. The test plays both ends with bytes. */
import { Http1ClientConnection } from "../http1/client-connection.ts";
import { Http1ServerConnection } from "../http1/server-connection.ts";
import type { RequestHead } from "../http/message.ts";
import { FakeHandle } from "./fake-handle.ts";
import { Forwarder } from "./http-forwarder.ts";
import { readMessages, type SeenMessage } from "./http1-text.ts";
import { createManualClock, type ManualClock } from "./manual-clock.ts";

/** One upstream connection as the upstream sees it. */
export class Upstream {
  readonly handle = new FakeHandle(true);
  readonly connection: Http1ClientConnection;
  received = "";
  isIdle = true;

  constructor(onIdle: (upstream: Upstream) => void, clock: ManualClock) {
    this.connection = new Http1ClientConnection(
      this.handle,
      {
        onIdle: () => {
          this.isIdle = true;
          onIdle(this);
        },
        onClose: () => {
          this.isIdle = false;
        },
      },
      clock,
    );
  }

  take(): void {
    this.received += this.handle.take().toString("latin1");
  }

  get requests(): readonly SeenMessage[] {
    return readMessages(this.received).messages;
  }

  /** Part of a request that never became complete, and its connection was cut. */
  get isCut(): boolean {
    return readMessages(this.received).rest !== "" && this.handle.closed;
  }
}

export interface RigOptions {
  readonly denies?: (head: RequestHead) => boolean;
  readonly fieldsRead?: readonly string[];
}

export class Rig {
  readonly clock: ManualClock = createManualClock();
  readonly caller = new FakeHandle(true);
  readonly upstreams: Upstream[] = [];
  readonly forwarder: Forwarder;
  readonly server: Http1ServerConnection;
  /** Everything the caller has read. */
  answered = "";

  constructor(options: RigOptions = {}, upstreams: Upstream[] = []) {
    this.upstreams = upstreams;
    this.forwarder = new Forwarder({
      connect: () => this.#connect(),
      ...(options.denies === undefined ? {} : { denies: options.denies }),
    });
    const fieldsRead = new Set(options.fieldsRead);
    this.server = new Http1ServerConnection(this.caller, {
      events: this.forwarder,
      clock: this.clock,
      fieldsRead: () => fieldsRead,
    });
  }

  /** The caller sends, and whatever follows in this turn happens. */
  async send(text: string): Promise<void> {
    this.caller.feed(Buffer.from(text, "latin1"), 65_536);
    await this.settle();
  }

  async settle(): Promise<void> {
    // Bytes leave with the turn's microtasks.
    for (let i = 0; i < 4; i++) await Promise.resolve();
    this.answered += this.caller.take().toString("latin1");
    for (const upstream of this.upstreams) upstream.take();
  }

  /** Complete requests that reached any upstream, in order of connections. */
  get requests(): readonly SeenMessage[] {
    return this.upstreams.flatMap((upstream) => upstream.requests);
  }

  answers(isHead: boolean = false): readonly SeenMessage[] {
    const ended = this.caller.isShutdown;
    return readMessages(this.answered, { ended, bodiless: () => isHead }).messages;
  }

  #connect(): Http1ClientConnection {
    const idle = this.upstreams.find((each) => each.isIdle && each.connection.capacity > 0);
    const upstream = idle ?? new Upstream(() => undefined, this.clock);
    if (idle === undefined) this.upstreams.push(upstream);
    upstream.isIdle = false;
    return upstream.connection;
  }
}

/** 200 and two octets to every complete request that has none yet, after 100 when it was asked for. */
export class PoliteUpstream {
  readonly #answered = new Map<Upstream, number>();
  readonly #continued = new Set<Upstream>();

  answer(upstream: Upstream): boolean {
    const done = this.#answered.get(upstream) ?? 0;
    const { requests } = upstream;
    if (requests.length > done) {
      this.#answered.set(upstream, done + 1);
      this.#continued.delete(upstream);
      const isHead = requests[done]?.startLine.startsWith("HEAD ") === true;
      const length = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n";
      upstream.handle.feed(Buffer.from(isHead ? length : `${length}ok`));
      return true;
    }
    const isAsked = /\r\nexpect: 100-continue\r\n/.test(readMessages(upstream.received).rest);
    if (!isAsked || this.#continued.has(upstream)) return false;
    this.#continued.add(upstream);
    upstream.handle.feed(Buffer.from("HTTP/1.1 100 Continue\r\n\r\n"));
    return true;
  }
}
