/**
 * Pure. Every way in which a connection can end badly, in one table: the step that ended it, the flag of Istio's metrics
 * and the status that an HBONE peer is told. Access log, metrics and HBONE answers all read it.
 */
export type ResponseFlag =
  | "-"
  | "DENY"
  | "CONNECT"
  | "TLS_FAILURE"
  | "H2_HANDSHAKE_FAILURE"
  | "NETWORK_POLICY"
  | "IDENTITY_ERROR"
  | "CERT_REVOKED";

/** Steps of `docs/life-of-a-connection.md`. */
export type Stage =
  | "O2"
  | "O3"
  | "O4"
  | "O5"
  | "O6"
  | "O7"
  | "O8"
  | "O9"
  | "O10"
  | "I1"
  | "I2"
  | "I3"
  | "I4"
  | "I5"
  | "I6"
  | "I7"
  | "I8"
  | "I9";

export type Reason =
  | "self-call"
  | "too-many-connections"
  | "source-unknown"
  | "source-has-no-identity"
  | "no-certificate"
  | "waypoint-unresolvable"
  | "no-healthy-endpoint"
  | "destination-has-no-address"
  | "destination-has-no-identity"
  | "other-network"
  | "wrong-namespace"
  | "tunnel-refused"
  | "tunnel-failed"
  | "tls-failed"
  /** The HBONE port does not answer: a NetworkPolicy blocks it, most likely. */
  | "network-policy"
  | "identity-mismatch"
  | "denied-by-peer"
  | "connect-failed"
  | "destination-unknown"
  | "wrong-authority"
  | "own-port"
  | "port-unknown"
  | "policy-missing"
  | "denied-by-policy"
  | "no-allow-matched"
  /** Not through the waypoint that is bound. */
  | "not-through-waypoint"
  /** The automatic waypoint of another namespace. */
  | "foreign-waypoint"
  /** A policy denies HTTP, whoever calls, and the port counts as TCP. */
  | "http-on-tcp-port"
  | "policy-changed"
  /** A waypoint was bound to the destination of a connection that had been made before. */
  | "moved-to-waypoint"
  | "draining"
  | "reset"
  | "tunnel-lost"
  | "closed";

export interface ReasonFacts {
  readonly flag: ResponseFlag;
  readonly stage: Stage;
  /** What an HBONE client is told. */
  readonly status: 400 | 401 | 503;
}

const REASONS: Readonly<Record<Reason, ReasonFacts>> = {
  "self-call": { flag: "CONNECT", stage: "O4", status: 503 },
  "too-many-connections": { flag: "CONNECT", stage: "O2", status: 503 },
  "source-unknown": { flag: "IDENTITY_ERROR", stage: "O5", status: 503 },
  "source-has-no-identity": { flag: "IDENTITY_ERROR", stage: "O5", status: 503 },
  "no-certificate": { flag: "IDENTITY_ERROR", stage: "O8", status: 503 },
  "waypoint-unresolvable": { flag: "CONNECT", stage: "O6", status: 503 },
  "no-healthy-endpoint": { flag: "CONNECT", stage: "O6", status: 503 },
  "destination-has-no-address": { flag: "CONNECT", stage: "O6", status: 503 },
  "destination-has-no-identity": { flag: "IDENTITY_ERROR", stage: "O6", status: 503 },
  "other-network": { flag: "CONNECT", stage: "O6", status: 503 },
  "wrong-namespace": { flag: "CONNECT", stage: "O7", status: 503 },
  "tunnel-refused": { flag: "CONNECT", stage: "O9", status: 503 },
  "tunnel-failed": { flag: "CONNECT", stage: "O9", status: 503 },
  "tls-failed": { flag: "TLS_FAILURE", stage: "O9", status: 503 },
  "network-policy": { flag: "NETWORK_POLICY", stage: "O9", status: 503 },
  "identity-mismatch": { flag: "TLS_FAILURE", stage: "O9", status: 503 },
  "denied-by-peer": { flag: "DENY", stage: "O9", status: 401 },
  "connect-failed": { flag: "CONNECT", stage: "I7", status: 503 },
  "destination-unknown": { flag: "CONNECT", stage: "I4", status: 503 },
  "wrong-authority": { flag: "CONNECT", stage: "I4", status: 400 },
  "own-port": { flag: "CONNECT", stage: "I4", status: 503 },
  "port-unknown": { flag: "CONNECT", stage: "I4", status: 503 },
  "policy-missing": { flag: "DENY", stage: "I5", status: 401 },
  "denied-by-policy": { flag: "DENY", stage: "I5", status: 401 },
  "no-allow-matched": { flag: "DENY", stage: "I5", status: 401 },
  "http-on-tcp-port": { flag: "DENY", stage: "I9", status: 401 },
  "policy-changed": { flag: "DENY", stage: "I6", status: 401 },
  "not-through-waypoint": { flag: "DENY", stage: "I5", status: 401 },
  "foreign-waypoint": { flag: "DENY", stage: "I5", status: 401 },
  "moved-to-waypoint": { flag: "-", stage: "O10", status: 503 },
  draining: { flag: "CONNECT", stage: "O10", status: 503 },
  reset: { flag: "-", stage: "O10", status: 503 },
  "tunnel-lost": { flag: "CONNECT", stage: "O10", status: 503 },
  closed: { flag: "-", stage: "O10", status: 503 },
};

export function reasonFacts(reason: Reason): ReasonFacts {
  return REASONS[reason];
}

/** A connection that ended as intended has no reason and the flag "-". */
export function responseFlag(reason: Reason | undefined): ResponseFlag {
  return reason === undefined ? "-" : REASONS[reason].flag;
}
