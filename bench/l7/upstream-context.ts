/**
 * TLS of the upstream behind ordinary proxies. No sessions are resumed, as in tunnels: proxies that offer one when they open more connections would
 * be cut off by OpenSSL, since client certificates are asked for and sessions have no context, and their callers would get 502.
 */
import { constants } from "node:crypto";
import { createSecureContext, type SecureContext } from "node:tls";

export function upstreamContext(files: Readonly<Record<"ca" | "cert" | "key", string>>): SecureContext {
  return createSecureContext({
    ...files,
    minVersion: "TLSv1.3",
    ecdhCurve: "X25519",
    secureOptions: constants.SSL_OP_NO_TICKET,
  });
}
