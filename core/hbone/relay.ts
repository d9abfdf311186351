/**
 * HOT PATH. Joins an application's TCP connection and a tunnel stream, or two TCP connections.
 * FIN travels as END_STREAM and back; RST as RST_STREAM and back; a lost tunnel resets the application and never
 * looks like a clean end.
 */
import type { Handle } from "../handle/handle.ts";
import type { HboneStream } from "./hbone-stream.ts";

export type RelayEnd = "clean" | "reset-by-app" | "reset-by-peer" | "tunnel-lost" | "closed-by-policy";

export interface RelayResult {
  /** Application to tunnel (or first to second handle), in bytes. */
  readonly bytesSent: number;
  readonly bytesReceived: number;
  readonly end: RelayEnd;
  /** Present unless `end` is "clean". */
  readonly error?: Error;
}

export interface Relay {
  /** Never rejects. */
  readonly done: Promise<RelayResult>;
  /** So far; for reports about open connections. */
  readonly bytesSent: number;
  readonly bytesReceived: number;
  /** Resets both sides; `done` resolves with "closed-by-policy" and the reason. */
  abort(reason: string): void;
}

export declare function relay(tcp: Handle, stream: HboneStream): Relay;
export declare function relayPlain(a: Handle, b: Handle): Relay;
