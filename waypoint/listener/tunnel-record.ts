/** Step W6 of what ended before it was clear whom it concerns: a tunnel, or a CONNECT. */
import type { SpiffeId } from "#core/model/spiffe-id.ts";
import type { SocketAddress } from "#core/net/socket-address.ts";
import { type Reason, reasonFacts } from "../http/reasons.ts";
import type { ProxyContext } from "../proxy-context.ts";
import { newRequestId } from "./caller.ts";

export interface TunnelEnd {
  readonly reason: Reason;
  readonly error?: string;
  readonly identity?: SpiffeId;
  readonly dialled?: string;
}

export function recordTunnel(context: ProxyContext, source: SocketAddress, end: TunnelEnd): void {
  const { status } = reasonFacts(end.reason);
  context.accessLog.connection({
    source,
    sourceIdentity: end.identity,
    sourceWorkload: undefined,
    dialled: end.dialled ?? "",
    service: undefined,
    endpoint: undefined,
    endpointIdentity: undefined,
    judgement: { decision: undefined, dryRun: undefined },
    reason: end.reason,
    error: end.error,
    status: status === 0 ? undefined : status,
    bytesReceived: 0,
    bytesSent: 0,
    durationMs: 0,
    id: newRequestId(),
  });
}
