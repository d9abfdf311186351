/** HOT PATH, pure. A scanned response head as a checked answer, or why it is none. */
import type { Refusal, RequestHead } from "../http/message.ts";
import { refusal } from "../http/raw-head.ts";
import { type CheckedResponse, checkResponse } from "../http/response-rules.ts";
import { readFields, readStatusLine } from "./head-lines.ts";
import type { HeadScanner } from "./head-scanner.ts";

/** Call once the scanner left "more". */
export function readResponse(
  scanner: HeadScanner,
  request: Pick<RequestHead, "method" | "upgrade">,
): CheckedResponse | Refusal {
  if (scanner.state !== "complete") return refusal(502, scanner.reason);
  const { text, lineEnds } = scanner;
  const lineEnd = lineEnds[0] as number;
  const line = readStatusLine(text, 0, lineEnd);
  if (line === undefined) return BAD_LINE;
  const fields = readFields(text, lineEnds, 1, lineEnd + 2);
  if (typeof fields === "string") return refusal(502, fields);
  return checkResponse({ version: line.version, status: line.status, fields, ended: false }, request);
}

const BAD_LINE = refusal(502, "not a status line of HTTP/1");
