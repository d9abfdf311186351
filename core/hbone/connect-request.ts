/**
 * Pure. The CONNECT request of HBONE between header list and values (RFC 9113 8.5; authority forms as Istio writes them).
 * Strict in what decides (method, authority), lenient in what only labels (baggage, forwarded, traceparent).
 */
import type { SocketAddress } from "../net/socket-address.ts";

/** Where the client wants to go: an address of the pod, of a service, or a service's name. */
export type ConnectTarget =
  | { readonly kind: "address"; readonly address: SocketAddress }
  | { readonly kind: "hostname"; readonly hostname: string; readonly port: number };

/** What a client puts into a CONNECT. Everything but the target is for logs and labels of the receiver. */
export interface ConnectRequest {
  readonly target: ConnectTarget;
  /** Already encoded, see `baggage.ts`. */
  readonly baggage?: string;
  /** Value of `forwarded`, see `formatForwarded`. */
  readonly forwarded?: string;
  /** W3C traceparent, see `trace-context.ts`. */
  readonly traceparent?: string;
}
