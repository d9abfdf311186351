/** One CONNECT as the receiver's code sees it. */
import type { SpiffeId } from "../model/spiffe-id.ts";
import type { SocketAddress } from "../net/socket-address.ts";
import type { ConnectTarget } from "./connect-request.ts";
import type { HboneStream } from "./hbone-stream.ts";

/** 404: not a destination of whoever was asked. */
export type RefusalStatus = 400 | 401 | 404 | 503;

/** Exactly one of `accept` and `refuse` must be called, unless `signal` fires first. */
export interface HboneRequest {
  readonly peerIdentity: SpiffeId;
  /** Lower-case hex. */
  readonly peerCertificateSerial: string;
  /** Wall clock. Past it the peer must not be believed anew. */
  readonly peerNotAfterMs: number;
  readonly authority: ConnectTarget;
  /** Raw header values; for labels and logs only, never for decisions. */
  readonly forwarded: string | undefined;
  readonly baggage: string | undefined;
  readonly traceparent: string | undefined;
  readonly forwardedNetwork: string | undefined;
  /** TCP peer: the source pod. */
  readonly source: SocketAddress;
  /** The accepted socket's own address: the destination pod, port 15008. */
  readonly local: SocketAddress;
  /** Fires when the client gives up before the answer: cancel the dial. */
  readonly signal: AbortSignal;
  /** Answers 200. Call it after the application was reached. Early data is kept for `start`. */
  accept(headers?: readonly (readonly [string, string])[]): HboneStream;
  refuse(status: RefusalStatus): void;
}
