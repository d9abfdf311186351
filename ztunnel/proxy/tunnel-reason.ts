/** Pure. Failures of the tunnel engine in the words of the access log. */
import {
  HBONE_APP_RESET,
  HBONE_CLOSED,
  HBONE_CONNECT_FAILED,
  HBONE_PEER_REFUSED,
  HBONE_REFUSED,
  HBONE_RESET,
  HBONE_TLS_FAILED,
  HBONE_TUNNEL_LOST,
} from "#core/hbone/hbone-errors.ts";
import { AmbitError } from "#core/runtime/errors.ts";
import type { Reason } from "./response-flag.ts";

const REASON_BY_CODE: Readonly<Record<string, Reason>> = {
  [HBONE_CONNECT_FAILED]: "tunnel-failed",
  [HBONE_TLS_FAILED]: "tls-failed",
  [HBONE_PEER_REFUSED]: "identity-mismatch",
  [HBONE_REFUSED]: "tunnel-refused",
  [HBONE_TUNNEL_LOST]: "tunnel-lost",
  [HBONE_RESET]: "reset",
  [HBONE_APP_RESET]: "reset",
  [HBONE_CLOSED]: "closed",
};

export function tunnelReason(error: unknown): Reason {
  if (!(error instanceof AmbitError)) return "tunnel-failed";
  if (error.code === HBONE_REFUSED && error.fields["status"] === 401) return "denied-by-peer";
  if (error.code === HBONE_CONNECT_FAILED && systemCode(error) === "ETIMEDOUT") return "network-policy";
  return REASON_BY_CODE[error.code] ?? "tunnel-failed";
}

function systemCode(error: AmbitError): unknown {
  return error.cause instanceof Error ? (error.cause as NodeJS.ErrnoException).code : undefined;
}
