/** Step O9. One tunnel: a verified mTLS connection with an HTTP/2 session on it, and what the pool must know of it. */
import type { SecureContext } from "node:tls";
import type { X509Certificate } from "node:crypto";
import { deadline } from "../base/abort.ts";
import type { Clock } from "../base/clock.ts";
import type { HandleBackend } from "../handle/handle-backend.ts";
import type { Handle } from "../handle/handle.ts";
import type { TlsHandle } from "../handle/tls-handle.ts";
import type { ReceiveBudget } from "../http2/flow-control.ts";
import { Http2Session } from "../http2/session.ts";
import type { SessionLimits } from "../http2/session-options.ts";
import type { PeerVerdict } from "../identity/peer-verdict.ts";
import type { SpiffeId } from "../model/spiffe-id.ts";
import { formatSocketAddress, type SocketAddress } from "../net/socket-address.ts";
import { AmbitError, describeError } from "../runtime/errors.ts";
import { HBONE_CONNECT_FAILED, HBONE_PEER_REFUSED, HBONE_TLS_FAILED } from "./hbone-errors.ts";

/** What a dial needs from the source pod; taken anew for each dial. */
export interface HboneDialDeps {
  /** A connected TCP handle to `destination`, made inside the source pod's namespace. */
  connect(destination: SocketAddress, signal: AbortSignal): Promise<Handle>;
  /** The source identity's certificate now. */
  credentials(): HboneCredentials;
}

export interface HboneCredentials {
  readonly context: SecureContext;
  /** Changes with the certificate: tunnels of another serial take no new streams. */
  readonly serial: string;
  readonly notAfterMs: number;
  readonly verifyPeer: (peer: X509Certificate) => PeerVerdict;
}

export interface TunnelOptions {
  readonly backend: HandleBackend;
  readonly clock: Clock;
  readonly dialTimeoutMs: number;
  readonly budget: ReceiveBudget | undefined;
  readonly limits: SessionLimits | undefined;
  readonly destination: SocketAddress;
  readonly expectedIdentities: readonly SpiffeId[];
}

export interface TunnelEvents {
  /** Streams may be opened that could not before, or no more. */
  onChange(tunnel: Tunnel): void;
  onClose(tunnel: Tunnel): void;
}

type Accepted = Extract<PeerVerdict, { readonly kind: "accepted" }>;

export interface Tunnel {
  readonly session: Http2Session;
  readonly serial: string;
  /** The earlier end of both certificates; past it no stream may be opened. */
  readonly notAfterMs: number;
  readonly peerIdentity: SpiffeId;
  readonly peerCertificateSerial: string;
}

/** Resolves when the peer's SETTINGS have come, that is, when it has accepted our certificate. Rejects with AmbitError. */
export async function openTunnel(
  options: TunnelOptions,
  deps: HboneDialDeps,
  events: TunnelEvents,
): Promise<Tunnel> {
  const signal = deadline(options.dialTimeoutMs);
  const credentials = deps.credentials();
  const tcp = await dialTcp(options, deps, signal);
  const tls = await dialTls(options, tcp, { credentials, signal });
  const verdict = judge(tls, credentials, options.expectedIdentities);
  return startSession(options, tls, { credentials, verdict, events });
}

async function dialTcp(options: TunnelOptions, deps: HboneDialDeps, signal: AbortSignal): Promise<Handle> {
  const { destination } = options;
  try {
    return await deps.connect(destination, signal);
  } catch (cause) {
    const text = `no TCP connection to ${formatSocketAddress(destination)}: ${describeError(cause)}`;
    throw new AmbitError(HBONE_CONNECT_FAILED, text, { cause, retryable: true });
  }
}

async function dialTls(
  options: TunnelOptions,
  tcp: Handle,
  { credentials, signal }: { readonly credentials: HboneCredentials; readonly signal: AbortSignal },
): Promise<TlsHandle> {
  const { backend, destination, dialTimeoutMs } = options;
  try {
    return await backend.tlsClient(
      tcp,
      { context: credentials.context, handshakeTimeoutMs: dialTimeoutMs },
      signal,
    );
  } catch (cause) {
    const text = `no TLS with ${formatSocketAddress(destination)}: ${describeError(cause)}`;
    throw new AmbitError(HBONE_TLS_FAILED, text, { cause, retryable: true });
  }
}

function judge(tls: TlsHandle, credentials: HboneCredentials, expected: readonly SpiffeId[]): Accepted {
  const verdict = credentials.verifyPeer(tls.peerCertificate);
  if (verdict.kind === "accepted" && expected.includes(verdict.identity)) return verdict;
  tls.reset();
  const reason =
    verdict.kind === "refused"
      ? verdict.reason
      : `the peer is ${verdict.identity}, not ${expected.join(" or ") || "anyone expected"}`;
  throw new AmbitError(HBONE_PEER_REFUSED, reason);
}

interface SessionParts {
  readonly credentials: HboneCredentials;
  readonly verdict: Accepted;
  readonly events: TunnelEvents;
}

function startSession(options: TunnelOptions, tls: TlsHandle, parts: SessionParts): Promise<Tunnel> {
  const { credentials, verdict, events } = parts;
  return new Promise((resolve, reject) => {
    let isUp = false;
    const session = new Http2Session(tls, {
      role: "client",
      clock: options.clock,
      ...(options.budget === undefined ? {} : { budget: options.budget }),
      ...(options.limits === undefined ? {} : { limits: options.limits }),
      events: {
        onReady: () => {
          isUp = true;
          resolve(tunnel);
        },
        onCapacity: () => events.onChange(tunnel),
        onGoaway: () => events.onChange(tunnel),
        onClose: (error) => {
          if (isUp) events.onClose(tunnel);
          else reject(notAccepted(options.destination, error));
        },
      },
    });
    const tunnel: Tunnel = {
      session,
      serial: credentials.serial,
      notAfterMs: Math.min(credentials.notAfterMs, verdict.notAfterMs),
      peerIdentity: verdict.identity,
      peerCertificateSerial: verdict.serial,
    };
  });
}

function notAccepted(destination: SocketAddress, cause: Error | undefined): AmbitError {
  const why = cause === undefined ? "it closed the connection" : describeError(cause);
  const text = `${formatSocketAddress(destination)} did not accept the tunnel (does it trust our certificate?): ${why}`;
  return new AmbitError(HBONE_TLS_FAILED, text, { cause, retryable: true });
}
