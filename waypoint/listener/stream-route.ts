/** Pure. Step W2, second half: what is spoken on an accepted stream, once as much as is wanted of it has come. */
import type { HttpProtocol } from "../http/engines.ts";
import type { Reason } from "../http/reasons.ts";
import type { FirstBytes } from "#core/http/first-bytes.ts";
import type { PortProtocol } from "./port-protocol.ts";

export interface StreamStart {
  readonly port: Exclude<PortProtocol, "tcp">;
  /** "more": it may still become HTTP, but nothing more came in time. */
  readonly verdict: FirstBytes;
  readonly hasBytes: boolean;
  readonly hasEnded: boolean;
}

export type StreamRoute =
  | { readonly kind: "http"; readonly protocol: HttpProtocol }
  | { readonly kind: "relay" }
  /** The caller came and went. */
  | { readonly kind: "nothing" }
  | { readonly kind: "refused"; readonly reason: Extract<Reason, "tls-on-http-port" | "no-request"> };

export function chooseStreamRoute({ port, verdict, hasBytes, hasEnded }: StreamStart): StreamRoute {
  if (verdict === "http2") return HTTP2;
  if (verdict === "http1") return HTTP1;
  // It has begun and could become HTTP: the strict reader waits for the rest, or refuses it.
  if (verdict === "more" && hasBytes) return HTTP1;
  if (port === "detect") return { kind: "relay" };
  if (verdict === "tls") return { kind: "refused", reason: "tls-on-http-port" };
  // Whatever it is, the strict reader refuses it and says why.
  if (hasBytes) return HTTP1;
  return hasEnded ? { kind: "nothing" } : { kind: "refused", reason: "no-request" };
}

const HTTP1: StreamRoute = { kind: "http", protocol: "http1" };
const HTTP2: StreamRoute = { kind: "http", protocol: "http2" };
