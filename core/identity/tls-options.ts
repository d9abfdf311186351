/**
 * The only constructor of TLS contexts for HBONE. TLS 1.3 alone, AES-GCM alone, ALPN h2, no tickets, no SNI;
 * a context without a parsed root is never made, because `ca: undefined` would trust the public web CAs.
 */
import type { SecureContext } from "node:tls";
import type { WorkloadCertificate } from "./certificate.ts";
import type { ClientPeerPolicy, PeerChain, PeerVerdict, ServerPeerPolicy } from "./peer-verdict.ts";

export const HBONE_ALPN: readonly string[] = ["h2"];

/** Context for accepting tunnels. Made once per certificate. Throws IDENTITY_NO_ROOT without a parsed root. */
export function serverContext(_certificate: WorkloadCertificate): SecureContext {
  throw new Error("not built yet");
}

/** Context for opening tunnels. Made once per certificate. Throws IDENTITY_NO_ROOT without a parsed root. */
export function clientContext(_certificate: WorkloadCertificate): SecureContext {
  throw new Error("not built yet");
}

/** The verdict of a server on the client's chain. */
export function verifyClientPeer(_chain: PeerChain, _policy: ClientPeerPolicy): PeerVerdict {
  throw new Error("not built yet");
}

/** The verdict of a client on the server's chain. */
export function verifyServerPeer(_chain: PeerChain, _policy: ServerPeerPolicy): PeerVerdict {
  throw new Error("not built yet");
}
