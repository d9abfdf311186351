/** A server connection of HTTP/2 on a handle in memory, with an application that writes down what it is given. */
import assert from "node:assert/strict";
import type { ServerExchange, ServerExchangeEvents } from "../http/exchange.ts";
import type { HttpField } from "../http/message.ts";
import { Http2ServerConnection, type Http2ServerOptions } from "../http2/server-connection.ts";
import { HpackDecoder } from "../http2/hpack/decoder.ts";
import { FakeHandle } from "./fake-handle.ts";
import { type Frame, frame, literal, parseFrames, PREFACE, settings, summary } from "./frames.ts";
import { createManualClock, type ManualClock, settle } from "./manual-clock.ts";

/** One request as the application saw it. */
export class SeenRequest implements ServerExchangeEvents {
  readonly exchange: ServerExchange;
  readonly #onComplete: (request: SeenRequest) => void;
  readonly #chunks: Buffer[] = [];
  trailers: readonly HttpField[] = [];
  end: "open" | "complete" | "aborted" = "open";
  abortReason: string | undefined;
  writableCount = 0;

  constructor(exchange: ServerExchange, onComplete: (request: SeenRequest) => void) {
    this.exchange = exchange;
    this.#onComplete = onComplete;
  }

  get body(): string {
    return Buffer.concat(this.#chunks).toString("latin1");
  }

  onBody(bytes: Uint8Array): void {
    this.#chunks.push(Buffer.from(bytes));
  }

  onEnd(trailers: readonly HttpField[]): void {
    this.trailers = trailers;
    this.end = "complete";
    this.#onComplete(this);
  }

  onWritable(): void {
    this.writableCount++;
  }

  onAbort(reason: string): void {
    this.end = "aborted";
    this.abortReason = reason;
  }
}

/** 200 with two octets, as the upstream of the vectors does. */
export function answerOk({ exchange }: SeenRequest): void {
  exchange.sendHead({ status: 200, fields: [], body: { kind: "length", bytes: 2 } });
  exchange.write(Buffer.from("ok"));
  exchange.end([]);
}

export interface RequestServerOptions extends Partial<Omit<Http2ServerOptions, "events">> {
  readonly onComplete?: (request: SeenRequest) => void;
  /** Default: started at once. */
  readonly onRequest?: (request: SeenRequest) => void;
}

export interface RequestServer {
  readonly handle: FakeHandle;
  readonly clock: ManualClock;
  readonly connection: Http2ServerConnection;
  readonly seen: SeenRequest[];
  readonly refused: string[];
  /** Undefined while it lives. */
  readonly closed: () => { readonly error: Error | undefined } | undefined;
  send(...parts: readonly Uint8Array[]): void;
  /** Frames since the last call, and their summary; without SETTINGS and the connection's credit. */
  frames(): Promise<readonly Frame[]>;
  answer(): Promise<string[]>;
}

export const SETTINGS_ACK: Buffer = frame(4, 1, 0);
/** What a caller sends before its first request. */
export const HELLO: Buffer = Buffer.concat([PREFACE, settings(), SETTINGS_ACK]);

/** The caller's preface and SETTINGS are not sent yet. */
export function rawRequestServer(options: RequestServerOptions = {}): RequestServer {
  const { onComplete = () => undefined, onRequest, ...rest } = options;
  const handle = new FakeHandle();
  const clock = createManualClock();
  const seen: SeenRequest[] = [];
  const refused: string[] = [];
  let closed: { readonly error: Error | undefined } | undefined;
  const connection = new Http2ServerConnection(handle, {
    clock,
    ...rest,
    events: {
      onRequest: (exchange) => {
        const request = new SeenRequest(exchange, onComplete);
        seen.push(request);
        if (onRequest === undefined) exchange.start(request);
        else onRequest(request);
      },
      onRefused: ({ status, reason }) => void refused.push(`${status} ${reason}`),
      onClose: (error) => {
        closed = { error };
      },
    },
  });
  return {
    handle,
    clock,
    connection,
    seen,
    refused,
    closed: () => closed,
    send: (...parts) => handle.feed(Buffer.concat(parts)),
    frames: () => framesOf(handle),
    answer: async () => summary(await framesOf(handle)),
  };
}

/** The caller has sent its first frames. */
export function requestServer(options: RequestServerOptions = {}): RequestServer {
  const server = rawRequestServer(options);
  server.send(HELLO);
  return server;
}

/** A connection that gathers writes at the end of a turn. */
export async function framesOf(handle: FakeHandle): Promise<readonly Frame[]> {
  await settle();
  return parseFrames(handle.take()).filter(
    ({ type, streamId }) => streamId !== 0 || (type !== 4 && type !== 8),
  );
}

/** The first request, which must have come through. */
export function firstSeen({ seen }: RequestServer): SeenRequest {
  assert.ok(seen[0] !== undefined, "a request came through");
  return seen[0];
}

export function requestBlock(
  method: string,
  extra: readonly (readonly [string, string])[] = [],
  path: string = "/a?b=1",
): Buffer {
  const fields: readonly (readonly [string, string])[] = [
    [":method", method],
    [":scheme", "http"],
    [":path", path],
    [":authority", "shop.test"],
    ...extra,
  ];
  return Buffer.concat(fields.map(([name, value]) => literal(name, value)));
}

/** All header lists of one connection, from its start, as text. */
export function headerLists(frames: readonly Frame[]): string[] {
  const decoder = new HpackDecoder({ maxListBytes: 65_536 });
  return frames.flatMap(({ type, payload }) => {
    if (type !== 1) return [];
    const decoded = decoder.decode(payload);
    assert.ok(decoded.kind === "headers");
    return [decoded.fields.map(({ name, value }) => `${name}=${value}`).join(" ")];
  });
}
