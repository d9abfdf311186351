/** Step W6: the one line and the one set of numbers that every request leaves. */
import type { Call } from "./call.ts";
import { isGrpc } from "./local-reply.ts";
import { type Reason, reasonFacts } from "./reasons.ts";

export interface CallEnd {
  /** Absent: answered as the upstream answered. */
  readonly reason?: Reason | undefined;
  /** For an operator. */
  readonly error?: string | undefined;
}

export function recordCall(call: Call, { reason, error }: CallEnd): void {
  const { caller, endpoint, exchange } = call;
  const { accessLog, deps } = caller.context;
  const received = exchange.head;
  const nowMs = deps.clock.monotonicMs();
  const durationMs = nowMs - call.startedMs;
  const grpc = isGrpc(received);
  caller.metricGroup(endpoint).add({
    protocol: grpc ? "grpc" : "http",
    status: call.status,
    grpcStatus: grpc ? call.grpcStatus : "",
    flag: reason === undefined ? "-" : reasonFacts(reason).flag,
    durationMs,
    requestBytes: call.bytesReceived,
    responseBytes: call.bytesSent,
  });
  const { answeredMs } = call;
  accessLog.request({
    caller: caller.logText,
    endpoint,
    judgement: call.judgement,
    reason,
    error,
    bytesReceived: call.bytesReceived,
    bytesSent: call.bytesSent,
    durationMs,
    id: call.requestId,
    startedMs: deps.clock.nowMs() - durationMs,
    method: received.method,
    path: call.http?.path ?? withoutQuery(received.target),
    authority: received.authority,
    version: received.version,
    fields: received.fields,
    status: call.status,
    upstreamMs: answeredMs === undefined ? undefined : answeredMs - call.startedMs,
    retries: Math.max(0, call.attempts - 1),
  });
}

function withoutQuery(target: string): string {
  const mark = target.indexOf("?");
  return mark < 0 ? target : target.slice(0, mark);
}
