/**
 * Pure. Every way in which the waypoint refuses or ends a request, in one table: the step, Envoy's response flag, and what the caller is told.
 * Local replies, access log and metrics all read it.
 */

/** Envoy's names; "-": none. */
export type ResponseFlag = "-" | "DC" | "DPE" | "NR" | "SI" | "UC" | "UF" | "UH" | "UO" | "UPE" | "UT";

/** Steps of `docs/life-of-a-request.md`. */
export type Stage = "W1" | "W2" | "W3" | "W4" | "W5" | "W6";

export type Reason =
  | "no-certificate"
  | "peer-refused"
  | "peer-expired"
  | "no-configuration"
  | "not-bound"
  | "itself"
  | "no-such-port"
  | "too-many-connections"
  | "tls-on-http-port"
  | "no-request"
  | "http-on-tcp-port"
  | "bad-request"
  | "too-many-requests"
  | "bad-path"
  | "denied-by-policy"
  | "no-allow-matched"
  | "policy-missing"
  | "policy-changed"
  | "no-healthy-endpoint"
  | "destination-has-no-address"
  | "destination-has-no-identity"
  | "other-network"
  | "upstream-unreachable"
  | "upstream-refused"
  | "upstream-identity"
  | "upstream-overflow"
  | "upstream-lost"
  | "bad-answer"
  | "timeout"
  | "idle"
  | "caller-gone"
  | "draining"
  | "failure";

export interface ReasonFacts {
  readonly stage: Stage;
  readonly flag: ResponseFlag;
  readonly status: number;
  /** Envoy's `response_code_details`. */
  readonly details: string;
  readonly body: string;
}

const DENIED = "RBAC: access denied";
const CONNECT_ERROR = "upstream connect error or disconnect/reset before headers. reset reason: ";

const REASONS: Readonly<Record<Reason, ReasonFacts>> = {
  "no-certificate": { stage: "W1", flag: "-", status: 503, details: "no_certificate", body: "" },
  "peer-refused": { stage: "W1", flag: "-", status: 0, details: "tls_peer_refused", body: "" },
  "peer-expired": {
    stage: "W1",
    flag: "-",
    status: 401,
    details: "tls_peer_expired",
    body: "the caller's certificate has expired",
  },
  "no-configuration": {
    stage: "W2",
    flag: "UH",
    status: 503,
    details: "no_configuration",
    body: "no configuration",
  },
  "not-bound": {
    stage: "W2",
    flag: "NR",
    status: 404,
    details: "route_not_found",
    body: "not a destination of this waypoint",
  },
  itself: {
    stage: "W2",
    flag: "NR",
    status: 400,
    details: "route_not_found",
    body: "the waypoint itself is no destination",
  },
  "no-such-port": {
    stage: "W2",
    flag: "NR",
    status: 404,
    details: "route_not_found",
    body: "the service has no such port",
  },
  "too-many-connections": {
    stage: "W2",
    flag: "UO",
    status: 503,
    details: "overload",
    body: "overload: too many connections",
  },
  "tls-on-http-port": {
    stage: "W2",
    flag: "DPE",
    status: 400,
    details: "tls_on_http_port",
    body: "TLS on a port that is declared HTTP",
  },
  "no-request": {
    stage: "W2",
    flag: "DPE",
    status: 408,
    details: "request_header_timeout",
    body: "no request on a port that is declared HTTP",
  },
  "http-on-tcp-port": {
    stage: "W3",
    flag: "-",
    status: 403,
    details: "rbac_access_denied_matched_policy",
    body: DENIED,
  },
  "bad-request": { stage: "W2", flag: "DPE", status: 400, details: "codec_error", body: "Bad Request" },
  "too-many-requests": {
    stage: "W3",
    flag: "UO",
    status: 503,
    details: "overload",
    body: "overload: too many requests",
  },
  "bad-path": {
    stage: "W3",
    flag: "DPE",
    status: 400,
    details: "path_normalization_failed",
    body: "Bad Request",
  },
  "denied-by-policy": {
    stage: "W3",
    flag: "-",
    status: 403,
    details: "rbac_access_denied_matched_policy",
    body: DENIED,
  },
  "no-allow-matched": {
    stage: "W3",
    flag: "-",
    status: 403,
    details: "rbac_access_denied_matched_policy",
    body: DENIED,
  },
  "policy-missing": {
    stage: "W3",
    flag: "-",
    status: 403,
    details: "rbac_access_denied_matched_policy",
    body: DENIED,
  },
  "policy-changed": {
    stage: "W5",
    flag: "-",
    status: 403,
    details: "rbac_access_denied_matched_policy",
    body: DENIED,
  },
  "no-healthy-endpoint": {
    stage: "W3",
    flag: "UH",
    status: 503,
    details: "no_healthy_upstream",
    body: "no healthy upstream",
  },
  "destination-has-no-address": {
    stage: "W3",
    flag: "UH",
    status: 503,
    details: "no_healthy_upstream",
    body: "no healthy upstream",
  },
  "destination-has-no-identity": {
    stage: "W3",
    flag: "UH",
    status: 503,
    details: "no_healthy_upstream",
    body: "no healthy upstream",
  },
  "other-network": {
    stage: "W3",
    flag: "UH",
    status: 503,
    details: "no_healthy_upstream",
    body: "no healthy upstream",
  },
  "upstream-unreachable": {
    stage: "W4",
    flag: "UF",
    status: 503,
    details: "upstream_reset_before_response_started{connection_failure}",
    body: `${CONNECT_ERROR}connection failure`,
  },
  "upstream-refused": {
    stage: "W4",
    flag: "UF",
    status: 503,
    details: "upstream_reset_before_response_started{connection_failure}",
    body: `${CONNECT_ERROR}connection failure`,
  },
  "upstream-identity": {
    stage: "W4",
    flag: "UF",
    status: 503,
    details: "upstream_reset_before_response_started{connection_failure}",
    body: `${CONNECT_ERROR}connection failure`,
  },
  "upstream-overflow": {
    stage: "W4",
    flag: "UO",
    status: 503,
    details: "upstream_reset_before_response_started{overflow}",
    body: `${CONNECT_ERROR}overflow`,
  },
  "upstream-lost": {
    stage: "W5",
    flag: "UC",
    status: 503,
    details: "upstream_reset_before_response_started{connection_termination}",
    body: `${CONNECT_ERROR}connection termination`,
  },
  "bad-answer": {
    stage: "W5",
    flag: "UPE",
    status: 502,
    details: "upstream_reset_before_response_started{protocol_error}",
    body: `${CONNECT_ERROR}protocol error`,
  },
  timeout: {
    stage: "W5",
    flag: "UT",
    status: 504,
    details: "response_timeout",
    body: "upstream request timeout",
  },
  idle: { stage: "W5", flag: "SI", status: 504, details: "stream_idle_timeout", body: "stream timeout" },
  "caller-gone": { stage: "W5", flag: "DC", status: 0, details: "downstream_remote_disconnect", body: "" },
  draining: {
    stage: "W5",
    flag: "-",
    status: 503,
    details: "draining",
    body: "the waypoint is shutting down",
  },
  failure: { stage: "W3", flag: "-", status: 500, details: "internal_error", body: "internal error" },
};

export function reasonFacts(reason: Reason): ReasonFacts {
  return REASONS[reason];
}
