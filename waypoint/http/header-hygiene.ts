/**
 * Pure. HOT PATH. Fields that callers may not bring along, because whoever reads them believes that a proxy wrote them, and those that the waypoint
 * adds. Runs before policy: policy, log and upstream see the same fields. `x-forwarded-for` passes as it came and decides nothing.
 */
import type { HttpField } from "#core/http/message.ts";
import type { SpiffeId } from "#core/model/spiffe-id.ts";

export interface RequestFieldOptions {
  readonly newRequestId: () => string;
  /** Added as `x-forwarded-client-cert`, if anything. */
  readonly clientCert: string | undefined;
}

export interface RequestFields {
  readonly fields: readonly HttpField[];
  readonly requestId: string;
}

const CLIENT_CERT = "x-forwarded-client-cert";
const REQUEST_ID = "x-request-id";
const ENVOY = "x-envoy-";

export function requestFields(received: readonly HttpField[], options: RequestFieldOptions): RequestFields {
  let id: string | undefined;
  let isForged = false;
  for (const { name, value } of received) {
    if (name === REQUEST_ID) id ??= value;
    else if (isProxyField(name)) isForged = true;
  }
  const { clientCert, newRequestId } = options;
  const requestId = id === undefined || id === "" ? newRequestId() : id;
  if (requestId === id && !isForged && clientCert === undefined) return { fields: received, requestId };
  const fields = received.filter(
    ({ name }) => !isProxyField(name) && (name !== REQUEST_ID || requestId === id),
  );
  if (requestId !== id) fields.push({ name: REQUEST_ID, value: requestId });
  if (clientCert !== undefined) fields.push({ name: CLIENT_CERT, value: clientCert });
  return { fields, requestId };
}

/** Who passed the request on, and for whom (Envoy's form). */
export function clientCertValue(own: SpiffeId, peer: SpiffeId): string {
  return `By=${own};URI=${peer}`;
}

function isProxyField(name: string): boolean {
  // Cheap first: most names do not begin with "x-".
  return name.charCodeAt(0) === 0x78 && (name === CLIENT_CERT || name.startsWith(ENVOY));
}
