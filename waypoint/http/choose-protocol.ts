/** Pure. What is spoken with an endpoint: what its port declares; where it says no more than HTTP, what the caller spoke. */
import type { RequestHead } from "#core/http/message.ts";
import type { AppProtocol } from "#core/model/service.ts";
import type { HttpProtocol } from "./engines.ts";

export type { HttpProtocol } from "./engines.ts";

export function chooseProtocol(
  declared: AppProtocol,
  { version, upgrade }: Pick<RequestHead, "version" | "upgrade">,
): HttpProtocol {
  // HTTP/2 cannot carry it.
  if (upgrade !== undefined) return "http1";
  if (declared === "http2" || declared === "grpc") return "http2";
  return version === "2" ? "http2" : "http1";
}
