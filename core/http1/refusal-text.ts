/** Pure. What the sender of a refused request is told. Reasons are constants: nothing of the request comes back. */
import type { Refusal } from "../http/message.ts";
import { answerText } from "./head-writer.ts";

export function refusalText({ status, reason }: Refusal): string {
  const head = {
    status,
    fields: [{ name: "content-type", value: "text/plain" }],
    body: { kind: "length", bytes: reason.length },
  } as const;
  return answerText(head, "length", { version: "1.1", isHead: false, closes: true }) + reason;
}
