/** Step W6 of what ended before it was clear whom it concerns: a tunnel, or a CONNECT. */
import type { SpiffeId } from "#core/model/spiffe-id.ts";
import type { SocketAddress } from "#core/net/socket-address.ts";
import { type Reason, reasonFacts } from "../http/reasons.ts";
import { notJudged } from "../policy/verdict.ts";
import type { ProxyContext } from "../proxy-context.ts";
import { callerText } from "../report/party-text.ts";
import { newRequestId } from "../report/request-id.ts";

export interface TunnelEnd {
  readonly reason: Reason;
  readonly error?: string;
  readonly identity?: SpiffeId;
  readonly dialled?: string;
}

export function recordTunnel(context: ProxyContext, source: SocketAddress, end: TunnelEnd): void {
  const { status } = reasonFacts(end.reason);
  context.accessLog.connection({
    caller: callerText({
      source,
      identity: end.identity,
      workload: undefined,
      dialled: end.dialled ?? "",
      service: undefined,
    }),
    endpoint: undefined,
    judgement: notJudged(),
    reason: end.reason,
    error: end.error,
    status: status === 0 ? undefined : status,
    bytesReceived: 0,
    bytesSent: 0,
    durationMs: 0,
    id: newRequestId(),
  });
}
