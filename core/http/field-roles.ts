/** HOT PATH, pure. What a field means to a proxy, by its name in lower case. */

export type FieldRole =
  /** Common, end to end, without a rule. */
  | "plain"
  /** At most one line: two are read differently by different servers. */
  | "single"
  /** Between two neighbours only: never forwarded. */
  | "hop-by-hop"
  /** Meant for a proxy: not forwarded either, but no fault in HTTP/2. */
  | "to-proxy"
  | "host"
  | "content-length"
  | "transfer-encoding"
  | "connection"
  | "upgrade"
  | "expect"
  | "te";

/** Undefined: a name that is not known; it may be a confusable one. */
export function roleOf(name: string): FieldRole | undefined {
  return ROLES.get(name);
}

/** Whether the mesh, or the policy in force, decides by this field: `connection` must not remove it on a caller's word. */
export function mayBeNominated(name: string, fieldsRead: ReadonlySet<string>): boolean {
  return !NEVER_NOMINATED.test(name) && !fieldsRead.has(name);
}

/** `x_forwarded_for`: many servers read `_` as `-`, so the field would count for them and not for us. */
export function isConfusable(name: string, fieldsRead: ReadonlySet<string>): boolean {
  if (!name.includes("_")) return false;
  const dashed = name.replaceAll("_", "-");
  return RELIED_ON.test(dashed) || fieldsRead.has(dashed);
}

export type TrailerRole = "forward" | "drop" | "refuse";

/** RFC 9110 6.5.1: framing, routing and authentication are decided before the body; a trailer cannot change them. */
export function trailerRole(name: string): TrailerRole {
  if (FORBIDDEN_TRAILER.test(name)) return "refuse";
  return name.startsWith("content-") ? "drop" : "forward";
}

const NEVER_NOMINATED =
  /^(?:host|content-.*|transfer-encoding|authorization|cookie|forwarded|x-forwarded-.*|x-envoy-.*|x-request-id)$/;
const RELIED_ON =
  /^(?:host|connection|content-length|transfer-encoding|authorization|proxy-.*|forwarded|x-forwarded-.*|x-envoy-.*|x-request-id)$/;
const FORBIDDEN_TRAILER =
  /^(?:host|connection|keep-alive|content-(?:length|encoding|type|range)|transfer-encoding|te|trailer|upgrade|http2-settings|expect|authorization|proxy-.*|cookie|set-cookie|forwarded|x-forwarded-.*|x-envoy-.*|x-request-id|cache-control|max-forwards|range|if-.*)$/;

/** Names without a rule that are common enough to be known at sight; none of them has a `_`. */
const PLAIN =
  "accept accept-charset accept-encoding accept-language accept-ranges access-control-allow-origin age allow baggage cache-control " +
  "content-disposition content-encoding content-language content-location content-range cookie date dnt etag expires from " +
  "grpc-accept-encoding grpc-encoding grpc-message grpc-status grpc-timeout if-match if-modified-since if-none-match if-range " +
  "if-unmodified-since last-modified link location origin pragma range referer retry-after sec-fetch-dest sec-fetch-mode " +
  "sec-fetch-site sec-websocket-accept sec-websocket-extensions sec-websocket-key sec-websocket-protocol sec-websocket-version server " +
  "server-timing set-cookie strict-transport-security traceparent tracestate trailer user-agent vary via www-authenticate x-api-key " +
  "x-content-type-options x-correlation-id x-forwarded-for x-forwarded-host x-forwarded-proto x-frame-options x-powered-by " +
  "x-real-ip x-request-id x-requested-with";

const ROLES: ReadonlyMap<string, FieldRole> = roles();

function roles(): Map<string, FieldRole> {
  const map = new Map<string, FieldRole>();
  for (const name of PLAIN.split(" ")) map.set(name, "plain");
  for (const name of ["authorization", "content-type"]) map.set(name, "single");
  for (const name of ["keep-alive", "proxy-connection", "http2-settings"]) map.set(name, "hop-by-hop");
  map.set("proxy-authorization", "to-proxy");
  for (const name of [
    "host",
    "content-length",
    "transfer-encoding",
    "connection",
    "upgrade",
    "expect",
    "te",
  ] as const)
    map.set(name, name);
  return map;
}
