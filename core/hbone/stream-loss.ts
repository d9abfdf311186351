/** Pure. The end of an HTTP/2 stream in the words of tunnels. */
import { ErrorCode } from "../http2/error-codes.ts";
import type { StreamEnd } from "../http2/http2-stream.ts";
import { isClosedByPolicy } from "./hbone-errors.ts";
import type { StreamLoss } from "./hbone-stream.ts";

export function streamLoss(end: StreamEnd): StreamLoss {
  switch (end.kind) {
    case "reset":
      return { kind: "reset-by-peer", code: end.code };
    case "refused":
      return { kind: "reset-by-peer", code: ErrorCode.REFUSED_STREAM };
    case "session-lost":
      return isClosedByPolicy(end.error)
        ? { kind: "closed-by-policy", reason: end.error.message }
        : { kind: "tunnel-lost", error: end.error };
  }
}
