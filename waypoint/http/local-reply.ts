/** Pure. The waypoint's own answers: plain text as Envoy's; to gRPC callers in the form that their libraries understand. */
import type { LocalAnswer } from "#core/http/exchange.ts";
import type { HttpField, RequestHead } from "#core/http/message.ts";
import { type Reason, reasonFacts } from "./reasons.ts";

const PLAIN_TEXT: readonly HttpField[] = [{ name: "content-type", value: "text/plain" }];

/** Envoy's table of statuses as gRPC sees them; anything else is UNKNOWN. */
const GRPC_STATUS: ReadonlyMap<number, number> = new Map([
  [400, 13],
  [401, 16],
  [403, 7],
  [404, 12],
  [429, 14],
  [502, 14],
  [503, 14],
  [504, 14],
]);
const GRPC_UNKNOWN = 2;

/** `close`: the connection carries nothing more. A refusal by policy leaves it open: the next request is judged by itself. */
export function localReply(reason: Reason, head: RequestHead, close: boolean): LocalAnswer {
  const { status, body } = reasonFacts(reason);
  if (isGrpc(head)) return grpcReply(status, body, close);
  return { status, fields: PLAIN_TEXT, body, close };
}

export function isGrpc(head: RequestHead): boolean {
  if (head.version !== "2") return false;
  const type = head.fields.find((field) => field.name === "content-type")?.value;
  return type !== undefined && /^application\/grpc(?:$|[+;])/.test(type);
}

function grpcReply(status: number, message: string, close: boolean): LocalAnswer {
  return {
    status: 200,
    fields: [
      { name: "content-type", value: "application/grpc" },
      { name: "grpc-status", value: String(GRPC_STATUS.get(status) ?? GRPC_UNKNOWN) },
      { name: "grpc-message", value: message },
    ],
    body: "",
    close,
  };
}
