/** Codes of failing tunnels. Each is one answer to "why was this connection refused or cut". */
import { AmbitError } from "../runtime/errors.ts";

/** No TCP connection to the peer's HBONE port. A timeout here is typical of a NetworkPolicy that blocks 15008. */
export const HBONE_CONNECT_FAILED = "HBONE_CONNECT_FAILED";
/** TLS failed, on our side or because the peer refused our certificate. */
export const HBONE_TLS_FAILED = "HBONE_TLS_FAILED";
/** The peer has a certificate, but not of the identity that is expected there. */
export const HBONE_PEER_REFUSED = "HBONE_PEER_REFUSED";
/** The peer answered the CONNECT with another status than 200; `fields.status`. */
export const HBONE_REFUSED = "HBONE_REFUSED";
/** No answer to the CONNECT in time. */
export const HBONE_NO_ANSWER = "HBONE_NO_ANSWER";
/** The peer takes no streams. */
export const HBONE_NO_CAPACITY = "HBONE_NO_CAPACITY";
export const HBONE_TUNNEL_LOST = "HBONE_TUNNEL_LOST";
/** RST_STREAM from the peer; `fields.http2Code`. */
export const HBONE_RESET = "HBONE_RESET";
export const HBONE_APP_RESET = "HBONE_APP_RESET";
/** Ended on purpose: policy, certificate, removal of the pod. */
export const HBONE_CLOSED = "HBONE_CLOSED";

export function closedByPolicy(reason: string): AmbitError {
  return new AmbitError(HBONE_CLOSED, reason);
}

export function isClosedByPolicy(error: Error): boolean {
  return error instanceof AmbitError && error.code === HBONE_CLOSED;
}
