/**
 * Tunnels, shared by the connections of one source pod to one destination, never by two source pods: the destination
 * takes the source address from the tunnel. One dial per key at a time; a further tunnel at 100 streams.
 */
import type { SpiffeId } from "../model/spiffe-id.ts";
import type { IpAddress } from "../net/ip.ts";
import type { SocketAddress } from "../net/socket-address.ts";
import type { Clock } from "../base/clock.ts";
import type { HandleBackend } from "../handle/choose-handle.ts";
import type { Handle } from "../handle/handle.ts";
import type { Logger } from "../runtime/log.ts";
import type { SecureContext } from "node:tls";
import type { X509Certificate } from "node:crypto";
import type { ConnectRequest } from "./connect-request.ts";
import type { PeerVerdict } from "./hbone-server.ts";
import type { HboneStream } from "./hbone-stream.ts";

export interface HbonePoolKey {
  readonly sourceIdentity: SpiffeId;
  readonly sourceIp: IpAddress;
  /** In order; empty always fails. */
  readonly expectedIdentities: readonly SpiffeId[];
  /** Address of the peer's HBONE port. */
  readonly destination: SocketAddress;
}

/** What a dial needs from the source pod; taken anew for each dial. */
export interface HboneDialDeps {
  /** A connected TCP handle to `key.destination`, made inside the source pod's namespace. */
  connect(destination: SocketAddress, signal: AbortSignal): Promise<Handle>;
  /** Context of the source identity's certificate now; its serial marks the tunnel. */
  credentials(): HboneCredentials;
}

export interface HboneCredentials {
  readonly context: SecureContext;
  /** Changes with the certificate: tunnels of another serial take no new streams. */
  readonly serial: string;
  readonly notAfterMs: number;
  readonly verifyPeer: (peer: X509Certificate) => PeerVerdict;
}

export interface HbonePoolOptions {
  readonly backend: HandleBackend;
  readonly clock?: Clock;
  readonly log?: Logger;
}

/** The client's end: the stream may be used at once; early bytes (16 KiB at most) are kept until the 200. */
export interface HboneClientStream extends HboneStream {
  readonly peerIdentity: SpiffeId;
  readonly peerCertificateSerial: string;
  /** Header `baggage` of the 200, once `onOpen` was called. */
  readonly responseBaggage: string | undefined;
}

export declare class HbonePool {
  constructor(options: HbonePoolOptions);
  /** Resolves once the CONNECT was sent on a tunnel that is up. Rejects with AmbitError when no tunnel can be made. */
  connect(
    key: HbonePoolKey,
    request: ConnectRequest,
    deps: HboneDialDeps,
    signal: AbortSignal,
  ): Promise<HboneClientStream>;
  /** Tunnels of a source take no new streams; GOAWAY; they end with their last stream. */
  retire(matches: (key: HbonePoolKey) => boolean): void;
  /** Tunnels of a source end now; their streams report "closed-by-policy". */
  abort(matches: (key: HbonePoolKey) => boolean, reason: string): void;
  /** For reports. */
  tunnels(): readonly { readonly key: HbonePoolKey; readonly streams: number; readonly serial: string }[];
  close(): Promise<void>;
}
