/** One delta xDS stream over its own gRPC connection: bytes in, bytes out, one outcome at the end. */
import { Client, type ClientDuplexStream, connectivityState, status, type StatusObject } from "@grpc/grpc-js";
import {
  callMetadata,
  channelCredentials,
  channelOptions,
  identityDeserializer,
  identitySerializer,
  statusName,
} from "../identity/grpc-channel.ts";
import { DELTA_STREAM_PATH, MAX_DELTA_RESPONSE_BYTES } from "../wire/xds-codec.ts";

const CONNECT_TIMEOUT_MS = 5_000;

export interface StreamTarget {
  readonly address: string;
  readonly serverName: string | undefined;
  readonly clusterId: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly rootsPem: string;
  readonly token: string;
}

export interface StreamEvents {
  /** The connection is up: send the first requests. */
  onOpen(send: (request: Uint8Array) => void): void;
  /** One response. Throwing ends the stream; the error is the outcome. */
  onMessage(bytes: Uint8Array): void;
}

/** How a stream ended. */
export type StreamEnd =
  | { readonly kind: "clean" }
  | { readonly kind: "no-connection"; readonly error: string }
  | { readonly kind: "status"; readonly code: number; readonly error: string }
  | { readonly kind: "bad-response"; readonly error: string };

/** Runs one stream until it ends or the signal fires; never rejects. Throws only for unusable roots. */
export async function runDeltaStream(
  target: StreamTarget,
  events: StreamEvents,
  signal: AbortSignal,
): Promise<StreamEnd> {
  const options = channelOptions({
    maxReceiveBytes: MAX_DELTA_RESPONSE_BYTES,
    serverName: target.serverName,
  });
  const client = new Client(target.address, channelCredentials(target.rootsPem), options);
  try {
    const state = await connect(client, signal);
    if (state === "timeout") return { kind: "no-connection", error: `${target.address} does not answer` };
    // A call on a failed channel ends at once and tells why.
    const end = await exchange(client, target, state === "ready" ? events : MUTE, signal);
    return state === "ready" || end.kind !== "status"
      ? end
      : { kind: "no-connection", error: `cannot reach ${target.address}: ${end.error}` };
  } finally {
    client.close();
  }
}

const MUTE: StreamEvents = { onOpen: () => undefined, onMessage: () => undefined };

/** Follows the channel until it is up or down. */
async function connect(client: Client, signal: AbortSignal): Promise<"ready" | "failed" | "timeout"> {
  const channel = client.getChannel();
  const deadline = Date.now() + CONNECT_TIMEOUT_MS;
  let state = channel.getConnectivityState(true);
  while (!signal.aborted) {
    if (state === connectivityState.READY) return "ready";
    if (state === connectivityState.TRANSIENT_FAILURE || state === connectivityState.SHUTDOWN)
      return "failed";
    if (!(await changed(client, state, deadline, signal))) return "timeout";
    state = channel.getConnectivityState(true);
  }
  return "failed";
}

/** False when nothing changed before the deadline. */
function changed(
  client: Client,
  from: connectivityState,
  deadline: number,
  signal: AbortSignal,
): Promise<boolean> {
  return new Promise((resolve) => {
    const onAbort = (): void => resolve(true);
    signal.addEventListener("abort", onAbort, { once: true });
    client.getChannel().watchConnectivityState(from, deadline, (error) => {
      signal.removeEventListener("abort", onAbort);
      resolve(error === undefined);
    });
  });
}

function exchange(
  client: Client,
  target: StreamTarget,
  events: StreamEvents,
  signal: AbortSignal,
): Promise<StreamEnd> {
  return new Promise((resolve) => {
    const call: ClientDuplexStream<Uint8Array, Buffer> = client.makeBidiStreamRequest(
      DELTA_STREAM_PATH,
      identitySerializer,
      identityDeserializer,
      callMetadata(target.token, target.clusterId, target.headers),
    );
    const finish = (end: StreamEnd): void => {
      signal.removeEventListener("abort", onAbort);
      resolve(end);
    };
    const onAbort = (): void => call.cancel();
    if (signal.aborted) onAbort();
    else signal.addEventListener("abort", onAbort, { once: true });
    call.on("data", (bytes: Buffer) => {
      try {
        events.onMessage(bytes);
      } catch (error) {
        finish({ kind: "bad-response", error: error instanceof Error ? error.message : String(error) });
        call.cancel();
      }
    });
    // Every status but OK also comes as 'error'; without a listener it would end the process.
    call.on("error", () => undefined);
    call.on("status", (last: StatusObject) => finish(endOf(last)));
    call.on("end", () => call.end());
    events.onOpen((request) => call.write(request));
  });
}

function endOf({ code, details }: StatusObject): StreamEnd {
  if (code === status.OK) return { kind: "clean" };
  return { kind: "status", code, error: `${statusName(code)}: ${details.slice(0, 300)}` };
}
