/** Pure. Failures of a dial in the words of the access log. */
import { HBONE_PEER_REFUSED, HBONE_REFUSED } from "#core/hbone/hbone-errors.ts";
import { AmbitError } from "#core/runtime/errors.ts";
import type { Reason } from "../http/reasons.ts";

export function dialReason(error: unknown): Reason {
  if (!(error instanceof AmbitError)) return "upstream-unreachable";
  if (error.code === HBONE_PEER_REFUSED) return "upstream-identity";
  // 401: the destination's ztunnel denies us. Nobody else may be asked in its place.
  const isDenied = error.code === HBONE_REFUSED && error.fields["status"] === 401;
  return isDenied ? "upstream-refused" : "upstream-unreachable";
}
