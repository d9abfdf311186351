/**
 * Pure. The CONNECT request of HBONE between header list and values (RFC 9113 8.5; authority forms as Istio writes them).
 * Strict in what decides (method, authority), lenient in what only labels (baggage, forwarded, traceparent).
 */
import { type Parsed, parsed, problem } from "../base/parse-result.ts";
import type { RequestHead } from "../http2/header-rules.ts";
import { firstValue, headerField, type HeaderField } from "../http2/hpack/header-field.ts";
import { formatSocketAddress, parseSocketAddress, type SocketAddress } from "../net/socket-address.ts";

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

/** A CONNECT as received. */
export interface ReceivedConnect {
  readonly target: ConnectTarget;
  readonly baggage: string | undefined;
  readonly forwarded: string | undefined;
  readonly traceparent: string | undefined;
  /** `x-forwarded-network`. */
  readonly forwardedNetwork: string | undefined;
}

/** What a well-formed request asks for: a tunnel, or something to be answered with 400. */
export type ConnectOutcome =
  | { readonly kind: "connect"; readonly request: ReceivedConnect }
  | { readonly kind: "bad-request"; readonly reason: string };

const METHOD = headerField(":method", "CONNECT");

/** In Istio's order. Throws on a value that cannot travel in a header field, which only a bug can produce. */
export function connectHeaders(request: ConnectRequest): readonly HeaderField[] {
  const fields = [METHOD, headerField(":authority", formatTarget(request.target))];
  if (request.baggage !== undefined) fields.push(headerField("baggage", request.baggage));
  if (request.forwarded !== undefined) fields.push(headerField("forwarded", request.forwarded));
  if (request.traceparent !== undefined) fields.push(headerField("traceparent", request.traceparent));
  return fields;
}

export function readConnect(head: RequestHead, fields: readonly HeaderField[]): ConnectOutcome {
  if (head.kind !== "connect") return { kind: "bad-request", reason: "the method is not a plain CONNECT" };
  const target = parseTarget(head.authority);
  if (!target.ok) return { kind: "bad-request", reason: target.problems[0]?.message ?? "bad authority" };
  return {
    kind: "connect",
    request: {
      target: target.value,
      baggage: joinedValue(fields, "baggage"),
      forwarded: firstValue(fields, "forwarded"),
      traceparent: firstValue(fields, "traceparent"),
      forwardedNetwork: firstValue(fields, "x-forwarded-network"),
    },
  };
}

export function formatTarget(target: ConnectTarget): string {
  return target.kind === "address"
    ? formatSocketAddress(target.address)
    : `${target.hostname}:${target.port}`;
}

/** An address with a port, or a DNS name with a port; the port is never 0 and never left out. */
export function parseTarget(authority: string): Parsed<ConnectTarget> {
  const address = parseSocketAddress(authority);
  if (address.ok) {
    if (address.value.port === 0) return problem("", "the authority has port 0");
    return parsed({ kind: "address", address: address.value });
  }
  const match = /^([^:]{1,253}):(\d{1,5})$/.exec(authority);
  const hostname = match?.[1] ?? "";
  const port = Number(match?.[2]);
  if (match === null || !isHostname(hostname) || port < 1 || port > 65_535) {
    return problem("", `authority "${authority.slice(0, 80)}" is not an address or name with a port`);
  }
  return parsed({ kind: "hostname", hostname, port });
}

/** `for="10.0.0.5:40000";host=catalog.shop.svc.cluster.local`. */
export function formatForwarded(client: SocketAddress, serviceHostname?: string): string {
  const host = serviceHostname === undefined ? "" : `;host=${serviceHostname}`;
  return `for="${formatSocketAddress(client)}"${host}`;
}

/** The `host=` part of `forwarded`, quotes stripped; for labels only. */
export function forwardedHost(forwarded: string): string | undefined {
  const part = forwarded.split(";").find((text) => text.startsWith("host="));
  const host = part?.slice("host=".length).replace(/^"(.*)"$/, "$1");
  return host === undefined || host === "" ? undefined : host;
}

/** DNS labels; the last one must not be all digits, or a mistyped address would pass as a name. */
function isHostname(text: string): boolean {
  const labels = text.split(".");
  return (
    labels.every((label) => /^[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?$/.test(label)) &&
    !/^\d+$/.test(labels.at(-1) ?? "")
  );
}

function joinedValue(fields: readonly HeaderField[], name: string): string | undefined {
  const values = fields.filter((field) => field.name === name).map((field) => field.value);
  return values.length === 0 ? undefined : values.join(",");
}
