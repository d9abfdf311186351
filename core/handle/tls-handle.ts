/** Types of TLS on top of a `Handle`. Both ends: TLS 1.3, a peer certificate that chains to our roots, ALPN h2. */
import type { X509Certificate } from "node:crypto";
import type { SecureContext } from "node:tls";
import type { Handle } from "./handle.ts";

export interface TlsHandle extends Handle {
  /** The verified leaf; `issuerCertificate` leads up its chain. Who it is remains to be judged by the caller. */
  readonly peerCertificate: X509Certificate;
  /** Negotiated suite, as `TLS_AES_256_GCM_SHA384`. */
  readonly cipher: string;
  /** Negotiated protocol, as `TLSv1.3`. */
  readonly protocol: string;
}

export interface TlsOptions {
  /** Key, chain and roots of one identity: built once per certificate and shared (1.5x handshake cost otherwise). */
  readonly context: SecureContext;
  /** Milliseconds until the peer must be verified. */
  readonly handshakeTimeoutMs: number;
}

/** Missing ALPN is accepted from clients, as ztunnel does; another protocol is refused. */
export type TlsServerOptions = TlsOptions;

/** The server must agree to h2. No SNI is sent, no session is resumed. */
export type TlsClientOptions = TlsOptions;
