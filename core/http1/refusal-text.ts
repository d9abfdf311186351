/** Pure. What the sender of a refused request is told. Reasons are constants: nothing of the request comes back. */
import type { Refusal } from "../http/message.ts";
import { answerText } from "./head-writer.ts";

export const ENDED_IN_BODY: Refusal = { status: 400, reason: "the caller ended in the middle of a body" };
export const HEAD_TIMEOUT: Refusal = { status: 408, reason: "head not complete in time" };
export const BODY_TIMEOUT: Refusal = { status: 408, reason: "body without progress" };

export function refusalText({ status, reason }: Refusal): string {
  const head = {
    status,
    fields: [{ name: "content-type", value: "text/plain" }],
    body: { kind: "length", bytes: reason.length },
  } as const;
  return answerText(head, "length", { version: "1.1", isHead: false, closes: true }) + reason;
}
