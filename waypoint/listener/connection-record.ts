/** Step W6 of a connection that carried no request: what ended it. */
import { type Judgement, notJudged } from "../policy/verdict.ts";
import type { Reason } from "../http/reasons.ts";
import type { Endpoint } from "../upstream/endpoint.ts";
import { newRequestId } from "../report/request-id.ts";
import type { Caller } from "./caller.ts";

export interface ConnectionEnd {
  readonly reason: Reason | undefined;
  readonly error?: string | undefined;
  /** What the caller was told, in HTTP. */
  readonly status?: number;
  readonly startedMs: number;
  readonly endpoint?: Endpoint | undefined;
  readonly judgement?: Judgement;
  /** From the caller and to it. */
  readonly bytesReceived?: number;
  readonly bytesSent?: number;
}

export function recordConnection(caller: Caller, end: ConnectionEnd): void {
  const { accessLog, deps } = caller.context;
  const { endpoint, judgement = notJudged(), bytesReceived = 0, bytesSent = 0 } = end;
  accessLog.connection({
    caller: caller.logText,
    endpoint,
    judgement,
    reason: end.reason,
    error: end.error,
    status: end.status,
    bytesReceived,
    bytesSent,
    durationMs: deps.clock.monotonicMs() - end.startedMs,
    id: newRequestId(),
  });
}
