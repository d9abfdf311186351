/**
 * The receiving end of HBONE: one mTLS connection, many CONNECT streams. Says who is asking and for what; whether
 * that is allowed is decided by `onConnect`, which must accept or refuse every request.
 */
import type { PeerVerdict } from "../identity/peer-verdict.ts";
import type { Logger } from "../runtime/log.ts";
import type { Clock } from "../base/clock.ts";
import type { SpiffeId } from "../model/spiffe-id.ts";
import type { SocketAddress } from "../net/socket-address.ts";
import type { HandleBackend } from "../handle/choose-handle.ts";
import type { Handle } from "../handle/handle.ts";
import type { ConnectTarget } from "./connect-request.ts";
import type { HboneStream } from "./hbone-stream.ts";
import type { SecureContext } from "node:tls";
import type { X509Certificate } from "node:crypto";

export type { PeerVerdict } from "../identity/peer-verdict.ts";

/** One CONNECT. Exactly one of `accept` and `refuse` must be called, unless `signal` fires first. */
export interface HboneRequest {
  readonly peerIdentity: SpiffeId;
  /** Lower-case hex. */
  readonly peerCertificateSerial: string;
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
  refuse(status: 400 | 401 | 503): void;
}

export interface HboneServerOptions {
  readonly backend: HandleBackend;
  readonly context: SecureContext;
  readonly verifyPeer: (peer: X509Certificate) => PeerVerdict;
  readonly onConnect: (request: HboneRequest) => void;
  readonly handshakeTimeoutMs?: number;
  readonly clock?: Clock;
  readonly log?: Logger;
}

export interface HboneServerConnection {
  readonly source: SocketAddress;
  /** Undefined until the handshake is done. */
  readonly peerIdentity: SpiffeId | undefined;
  /** Resolves when the connection is gone; with the reason unless it ended well. Never rejects. */
  readonly done: Promise<Error | undefined>;
  /** GOAWAY; open streams may finish. */
  drain(): void;
  /** Ends everything now: every stream reports "closed-by-policy". */
  close(reason: string): void;
}

/** Takes over an accepted, not started TCP handle. */
export declare function serveHbone(handle: Handle, options: HboneServerOptions): HboneServerConnection;
