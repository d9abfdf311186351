/** The talk's gRPC service as its server and its callers see it; messages are plain text. Callers import this bundle. */
import { Client, credentials, type ServiceDefinition, status } from "@grpc/grpc-js";

const toText = (bytes: Buffer): string => bytes.toString("utf8");
const toBytes = (text: string): Buffer => Buffer.from(text);

const method = (path: string, responseStream: boolean): ServiceDefinition[string] => ({
  path,
  requestStream: false,
  responseStream,
  requestSerialize: toBytes,
  requestDeserialize: toText,
  responseSerialize: toBytes,
  responseDeserialize: toText,
});

/** `say` answers once, `watch` goes on for as long as it is asked to. */
export const TALK = {
  say: method("/talk.Talk/Say", false),
  watch: method("/talk.Talk/Watch", true),
} as const;

export interface GrpcOutcome {
  /** gRPC's status; 0 is OK. */
  readonly code: number;
  readonly details: string;
  readonly text: string;
}

/** Clients of one process share connections unless told. */
const connect = (address: string): Client =>
  new Client(address, credentials.createInsecure(), { "grpc.use_local_subchannel_pool": 1 });

/** One unary call on a connection of its own. */
export function say(address: string, text: string, path = TALK.say.path): Promise<GrpcOutcome> {
  const client = connect(address);
  return new Promise<GrpcOutcome>((resolve) => {
    client.makeUnaryRequest(path, toBytes, toText, text, (error, answer) =>
      resolve(
        error === null
          ? { code: status.OK, details: "", text: answer ?? "" }
          : { code: error.code, details: error.details, text: "" },
      ),
    );
  }).finally(() => client.close());
}

/** A call that goes on, on a connection of its own: `count` messages, one every `everyMs`. `onEvent`: `message TEXT`, at last `end CODE`. */
export function watch(
  address: string,
  ask: { readonly count: number; readonly everyMs: number },
  onEvent: (event: string) => void,
): { cancel(): void } {
  const client = connect(address);
  const call = client.makeServerStreamRequest(TALK.watch.path, toBytes, toText, JSON.stringify(ask));
  call.on("data", (text: string) => onEvent(`message ${text}`));
  call.on("error", () => undefined);
  call.on("status", ({ code }) => {
    onEvent(`end ${code}`);
    client.close();
  });
  return call;
}
