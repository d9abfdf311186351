/**
 * Step I1 to I3. The receiving end of HBONE: one mTLS connection, many CONNECT streams. Says who is asking and for what;
 * whether that is allowed is decided by `onConnect`, which must accept or refuse every request.
 */
import type { X509Certificate } from "node:crypto";
import type { SecureContext } from "node:tls";
import { type Clock, systemClock } from "../base/clock.ts";
import type { HandleBackend } from "../handle/handle-backend.ts";
import type { Handle } from "../handle/handle.ts";
import type { TlsHandle } from "../handle/tls-handle.ts";
import { ErrorCode, errorCodeName } from "../http2/error-codes.ts";
import type { ReceiveBudget } from "../http2/flow-control.ts";
import { Http2Session } from "../http2/session.ts";
import type { Http2Stream } from "../http2/http2-stream.ts";
import type { Request, SessionLimits } from "../http2/session-options.ts";
import type { HeaderField } from "../http2/hpack/header-field.ts";
import type { PeerVerdict } from "../identity/peer-verdict.ts";
import type { SpiffeId } from "../model/spiffe-id.ts";
import type { SocketAddress } from "../net/socket-address.ts";
import { AmbitError } from "../runtime/errors.ts";
import { type Logger, silentLogger } from "../runtime/log.ts";
import { readConnect } from "./connect-request.ts";
import { closedByPolicy, HBONE_PEER_REFUSED } from "./hbone-errors.ts";
import type { HboneRequest } from "./hbone-request.ts";
import { ServerStream, statusField, type TunnelPeer } from "./server-stream.ts";

export type { HboneRequest } from "./hbone-request.ts";
export type { PeerVerdict } from "../identity/peer-verdict.ts";

const HANDSHAKE_TIMEOUT_MS = 10_000;

export interface HboneServerOptions {
  readonly backend: HandleBackend;
  readonly context: SecureContext;
  readonly verifyPeer: (peer: X509Certificate) => PeerVerdict;
  /** Called once per CONNECT; an exception refuses it with 503. */
  readonly onConnect: (request: HboneRequest) => void;
  /** A request that is no tunnel was answered with 400, or a stream that broke a rule was reset. */
  readonly onBadRequest?: (reason: string) => void;
  readonly handshakeTimeoutMs?: number;
  /** End of our own certificate: past it no new stream is taken. */
  readonly notAfterMs?: number;
  readonly clock?: Clock;
  readonly log?: Logger;
  readonly budget?: ReceiveBudget;
  readonly limits?: SessionLimits;
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
export function serveHbone(handle: Handle, options: HboneServerOptions): HboneServerConnection {
  return new ServerConnection(handle, options);
}

class ServerConnection implements HboneServerConnection {
  readonly source: SocketAddress;
  readonly #options: HboneServerOptions;
  readonly #clock: Clock;
  readonly #log: Logger;
  readonly #abort = new AbortController();
  readonly #done = Promise.withResolvers<Error | undefined>();
  #verdict: Extract<PeerVerdict, { kind: "accepted" }> | undefined;
  #local: SocketAddress;
  /** One for all streams. */
  #peer: TunnelPeer | undefined;
  #session: Http2Session | undefined;

  constructor(handle: Handle, options: HboneServerOptions) {
    this.source = handle.remote;
    this.#local = handle.local;
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
    this.#log = options.log ?? silentLogger;
    void this.#run(handle);
  }

  get peerIdentity(): SpiffeId | undefined {
    return this.#verdict?.identity;
  }

  get done(): Promise<Error | undefined> {
    return this.#done.promise;
  }

  drain(): void {
    if (this.#session === undefined) this.#abort.abort(closedByPolicy("draining"));
    else this.#session.drain();
  }

  close(reason: string): void {
    const error = closedByPolicy(reason);
    if (this.#session === undefined) this.#abort.abort(error);
    else this.#session.destroy(error);
  }

  async #run(tcp: Handle): Promise<void> {
    const { backend, context, handshakeTimeoutMs = HANDSHAKE_TIMEOUT_MS } = this.#options;
    try {
      const tls = await backend.tlsServer(tcp, { context, handshakeTimeoutMs }, this.#abort.signal);
      this.#verify(tls);
      this.#serve(tls);
    } catch (error) {
      this.#done.resolve(error as Error);
    }
  }

  #verify(tls: TlsHandle): void {
    const verdict = this.#options.verifyPeer(tls.peerCertificate);
    if (verdict.kind === "accepted") {
      this.#verdict = verdict;
      return;
    }
    tls.reset();
    throw new AmbitError(HBONE_PEER_REFUSED, verdict.reason);
  }

  #serve(tls: TlsHandle): void {
    const { budget, limits, clock } = this.#options;
    this.#session = new Http2Session(tls, {
      role: "server",
      ...(clock === undefined ? {} : { clock }),
      ...(budget === undefined ? {} : { budget }),
      ...(limits === undefined ? {} : { limits }),
      events: {
        onRequest: (stream, head, fields) => this.#onRequest(stream, head, fields),
        onBreach: (code) => this.#onBadRequest(`the stream was reset: ${errorCodeName(code)}`),
        onClose: (error) => this.#done.resolve(error),
      },
    });
  }

  #onBadRequest(reason: string): void {
    this.#log.debug({ peer: this.peerIdentity, reason }, "refused a request that is no tunnel");
    this.#options.onBadRequest?.(reason);
  }

  #onRequest(stream: Http2Stream, head: Request, fields: readonly HeaderField[]): void {
    const verdict = this.#verdict;
    if (verdict === undefined) return;
    const endMs = Math.min(verdict.notAfterMs, this.#options.notAfterMs ?? Number.POSITIVE_INFINITY);
    if (this.#clock.nowMs() > endMs) {
      stream.reset(ErrorCode.REFUSED_STREAM);
      this.#session?.drain();
      return;
    }
    const outcome = readConnect(head, fields);
    if (outcome.kind === "bad-request") {
      this.#onBadRequest(outcome.reason);
      stream.sendHeaders([statusField(400)], true);
      stream.reset(ErrorCode.NO_ERROR);
      return;
    }
    this.#peer ??= {
      identity: verdict.identity,
      serial: verdict.serial,
      notAfterMs: verdict.notAfterMs,
      source: this.source,
      local: this.#local,
    };
    const request = new ServerStream(stream, outcome.request, this.#peer);
    try {
      this.#options.onConnect(request);
    } catch (error) {
      this.#log.error({ error: String(error) }, "handling a tunnel request failed");
      request.refuse(503);
    }
  }
}
