/** A real gRPC delta xDS server on loopback whose pushes the test decides; it answers nothing by itself. */
import type { ServerDuplexStream } from "@grpc/grpc-js";
import { status } from "@grpc/grpc-js";
import type { FileCa } from "../identity/file-ca.ts";
import { identityDeserializer, identitySerializer } from "../identity/grpc-channel.ts";
import {
  decodeDeltaRequest,
  DELTA_STREAM_PATH,
  type DeltaRequest,
  encodeDeltaResponse,
  type XdsResource,
} from "../wire/xds-codec.ts";
import { startGrpcServer } from "./grpc-server.ts";

const PATIENCE_MS = 5_000;

export interface Push {
  readonly typeUrl: string;
  readonly resources?: readonly Partial<XdsResource>[];
  readonly removed?: readonly string[];
}

export interface FakeXdsServer {
  readonly address: string;
  /** Sends to the newest stream; returns the nonce. */
  push(push: Push): string;
  /** Sends bytes that need not be a response. */
  pushRaw(bytes: Uint8Array): void;
  /** The next request that is not an answer; fails after 5 s. */
  nextRequest(): Promise<DeltaRequest>;
  /** The next acknowledgement; a rejection in its place fails. */
  nextAck(): Promise<DeltaRequest>;
  /** The next rejection; an acknowledgement in its place fails. */
  nextNack(): Promise<DeltaRequest>;
  /** Headers of the newest stream. */
  header(name: string): string;
  readonly streamCount: number;
  /** Ends the newest stream with this status (0: cleanly). */
  endStream(code: number): void;
  stop(): void;
}

type XdsStream = ServerDuplexStream<Buffer, Uint8Array>;

/** First come, first served; each `next` waits for the next item. */
class Inbox<T> {
  readonly #items: T[] = [];
  readonly #waiting: ((item: T) => void)[] = [];

  put(item: T): void {
    const waiter = this.#waiting.shift();
    if (waiter === undefined) this.#items.push(item);
    else waiter(item);
  }

  next(what: string): Promise<T> {
    const item = this.#items.shift();
    if (item !== undefined) return Promise.resolve(item);
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error(`no ${what} within ${PATIENCE_MS} ms`)), PATIENCE_MS);
      this.#waiting.push((next) => {
        clearTimeout(timer);
        resolve(next);
      });
    });
  }
}

export async function startFakeXdsServer(ca: FileCa, port = 0): Promise<FakeXdsServer> {
  const requests = new Inbox<DeltaRequest>();
  const answers = new Inbox<DeltaRequest>();
  const streams: XdsStream[] = [];
  let nonce = 0;
  const accept = (stream: XdsStream): void => {
    streams.push(stream);
    stream.on("error", () => undefined);
    stream.on("data", (bytes: Buffer) => {
      const request = decodeDeltaRequest(bytes);
      if (!request.ok) stream.emit("error", { code: status.INVALID_ARGUMENT, details: "bad request" });
      else if (request.value.responseNonce === "") requests.put(request.value);
      else answers.put(request.value);
    });
  };
  const newest = (): XdsStream => {
    const stream = streams.at(-1);
    if (stream === undefined) throw new Error("no client has connected yet");
    return stream;
  };
  const running = await startGrpcServer(
    ca,
    (server) => server.addService(DEFINITION, { stream: accept }),
    port,
  );
  const nextAnswer = async (rejected: boolean): Promise<DeltaRequest> => {
    const answer = await answers.next(rejected ? "NACK" : "ACK");
    if ((answer.error !== undefined) !== rejected)
      throw new Error(`expected ${rejected ? "a NACK" : "an ACK"}, got ${JSON.stringify(answer)}`);
    return answer;
  };
  return {
    ...running,
    push: ({ typeUrl, resources = [], removed = [] }) => {
      const full = resources.map((resource) => ({ ...emptyResource(typeUrl), ...resource }));
      const response = { systemVersion: "1", typeUrl, nonce: `n${++nonce}`, resources: full, removed };
      newest().write(encodeDeltaResponse(response));
      return response.nonce;
    },
    pushRaw: (bytes) => void newest().write(bytes),
    nextRequest: () => requests.next("request"),
    nextAck: () => nextAnswer(false),
    nextNack: () => nextAnswer(true),
    header: (name) => String(newest().metadata.get(name)[0] ?? ""),
    get streamCount() {
      return streams.length;
    },
    endStream: (code) => {
      if (code === status.OK) newest().end();
      else newest().emit("error", { code, details: "told to" });
    },
  };
}

const DEFINITION = {
  stream: {
    path: DELTA_STREAM_PATH,
    requestStream: true,
    responseStream: true,
    requestSerialize: identitySerializer,
    requestDeserialize: identityDeserializer,
    responseSerialize: identitySerializer,
    responseDeserialize: identityDeserializer,
  },
};

function emptyResource(typeUrl: string): XdsResource {
  return { name: "", version: "", aliases: [], typeUrl, body: new Uint8Array(0) };
}
