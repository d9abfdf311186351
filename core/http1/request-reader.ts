/** HOT PATH, pure. A scanned request head as a checked request, or why it is refused. */
import type { Refusal } from "../http/message.ts";
import { refusal } from "../http/raw-head.ts";
import { type CheckedRequest, checkRequest } from "../http/request-rules.ts";
import { readFields, readRequestLine } from "./head-lines.ts";
import type { HeadScanner } from "./head-scanner.ts";

/** Call once the scanner left "more". */
export function readRequest(scanner: HeadScanner, fieldsRead: ReadonlySet<string>): CheckedRequest | Refusal {
  if (scanner.state !== "complete") return refusal(STATUS[scanner.state], scanner.reason);
  const { text, lineEnds, firstLine } = scanner;
  const lineEnd = lineEnds[0] as number;
  const line = readRequestLine(text, firstLine, lineEnd);
  if (line === undefined) return BAD_LINE;
  const { method, target, version } = line;
  if (version === "other") return BAD_VERSION;
  const fields = readFields(text, lineEnds, 1, lineEnd + 2);
  if (typeof fields === "string") return refusal(400, fields);
  return checkRequest(
    { version, method, target, scheme: undefined, authority: undefined, fields, ended: false },
    fieldsRead,
  );
}

/** "more" is a head that was cut off. */
const STATUS = { more: 400, bad: 400, "line-too-long": 414, "too-large": 431, "no-room": 503 } as const;
const BAD_LINE = refusal(400, "not a request line");
const BAD_VERSION = refusal(505, "version other than HTTP/1.0 and HTTP/1.1");
