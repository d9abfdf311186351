/** Pure. istio.security.Authorization. */
import type { Parsed } from "../base/parse-result.ts";
import type { Authorization } from "../model/authorization.ts";

/** Deterministic: equal values give equal bytes. */
export function encodeAuthorization(_policy: Authorization): Uint8Array {
  throw new Error("not built yet");
}

export function decodeAuthorization(_bytes: Uint8Array): Parsed<Authorization> {
  throw new Error("not built yet");
}
