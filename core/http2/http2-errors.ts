/** Why a session ended. */
import { AmbitError } from "../runtime/errors.ts";
import { errorCodeName } from "./error-codes.ts";

export const HTTP2_PEER_BROKE_RULES = "HTTP2_PEER_BROKE_RULES";
export const HTTP2_HEAD_TIMEOUT = "HTTP2_HEAD_TIMEOUT";
export const HTTP2_CONNECTION_LOST = "HTTP2_CONNECTION_LOST";
export const HTTP2_PEER_SILENT = "HTTP2_PEER_SILENT";
export const HTTP2_CLOSED = "HTTP2_CLOSED";

export function brokeRules(code: number, reason: string): AmbitError {
  return new AmbitError(HTTP2_PEER_BROKE_RULES, `${errorCodeName(code)}: ${reason}`, {
    fields: { http2Code: code },
  });
}

/** For peers and people. */
export const HEAD_TIMEOUT = "head not complete in time";

export function headTimeout(): AmbitError {
  return new AmbitError(HTTP2_HEAD_TIMEOUT, HEAD_TIMEOUT);
}

/** Whether the session ended because the peer did what it must not, or not what it must. */
export function isBreach(error: Error | undefined): error is AmbitError {
  return (
    error instanceof AmbitError &&
    (error.code === HTTP2_PEER_BROKE_RULES || error.code === HTTP2_HEAD_TIMEOUT)
  );
}

export function connectionLost(cause: Error | undefined): AmbitError {
  const why = cause === undefined ? "the peer closed it with streams open" : cause.message;
  return new AmbitError(HTTP2_CONNECTION_LOST, `the connection was lost: ${why}`, { cause });
}

export function peerSilent(what: string): AmbitError {
  return new AmbitError(HTTP2_PEER_SILENT, what);
}

export function sessionClosed(reason: string): AmbitError {
  return new AmbitError(HTTP2_CLOSED, reason);
}
