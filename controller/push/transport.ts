/** What the push side needs of one client's stream. Implemented over grpc-js by `transport-grpc.ts`. */
import type { Credentials } from "../ca/caller-identity.ts";

export interface XdsTransport {
  readonly credentials: Credentials;
  /** Starts reading; nothing is read before. */
  start(events: XdsTransportEvents): void;
  write(frame: Uint8Array): void;
  /** Ends the stream with a gRPC status. `message` goes to the client. */
  close(code: number, message: string): void;
}

export interface XdsTransportEvents {
  onMessage(bytes: Uint8Array): void;
  /** The client has gone, or `close` was called. */
  onEnd(): void;
}
