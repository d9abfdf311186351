/** HOT PATH, pure. The lines of a scanned head as start line and fields. Names become lower case, values lose blanks at their ends. */
import type { HttpField } from "../http/message.ts";
import { fieldName, hashStep, LOWER } from "./field-names.ts";

/** Fields of the lines from `first` on, in order; a text is the reason of a refusal. `start`: where that line begins. */
export function readFields(
  text: string,
  lineEnds: readonly number[],
  first: number,
  start: number,
): readonly HttpField[] | string {
  const fields: HttpField[] = [];
  let lineStart = start;
  for (let i = first; i < lineEnds.length; i++) {
    const end = lineEnds[i] as number;
    const field = readField(text, lineStart, end);
    if (typeof field === "string") return field;
    fields.push(field);
    lineStart = end + 2;
  }
  return fields;
}

function readField(text: string, start: number, end: number): HttpField | string {
  let p = start;
  let hash = 0;
  for (;;) {
    const lower = LOWER[text.charCodeAt(p)] as number;
    if (lower === 0) break;
    hash = hashStep(hash, lower);
    p++;
  }
  if (text.charCodeAt(p) !== COLON || p === start) return p === start ? nameless(text, start) : BAD_NAME;
  let from = p + 1;
  let to = end;
  while (from < to && isBlank(text.charCodeAt(from))) from++;
  while (to > from && isBlank(text.charCodeAt(to - 1))) to--;
  return { name: fieldName(text, start, p, hash), value: text.slice(from, to) };
}

function nameless(text: string, start: number): string {
  return isBlank(text.charCodeAt(start)) ? "folded field line" : BAD_NAME;
}

export interface RequestLine {
  readonly method: string;
  readonly target: string;
  readonly version: "1.0" | "1.1" | "other";
}

/** `method SP target SP HTTP/1.1`, one space each; undefined: no request line. */
export function readRequestLine(text: string, start: number, end: number): RequestLine | undefined {
  const first = text.indexOf(" ", start);
  const second = first < 0 ? -1 : text.indexOf(" ", first + 1);
  if (first <= start || second <= first + 1 || second >= end) return undefined;
  const version = readVersion(text.slice(second + 1, end));
  if (version === undefined) return undefined;
  return { method: text.slice(start, first), target: text.slice(first + 1, second), version };
}

function readVersion(text: string): RequestLine["version"] | undefined {
  if (text === "HTTP/1.1") return "1.1";
  if (text === "HTTP/1.0") return "1.0";
  return /^HTTP\/\d\.\d$/.test(text) ? "other" : undefined;
}

export interface StatusLine {
  readonly version: "1.0" | "1.1";
  readonly status: number;
}

/** `HTTP/1.1 SP 200`, with or without a phrase; undefined: no status line. */
export function readStatusLine(text: string, start: number, end: number): StatusLine | undefined {
  if (end - start < 12 || !text.startsWith("HTTP/1.", start)) return undefined;
  const minor = text.charCodeAt(start + 7) - ZERO;
  const status = digits(text, start + 9);
  const isSpaced = text.charCodeAt(start + 8) === SPACE;
  const hasPhrase = end - start > 12;
  if (!isSpaced || (minor !== 0 && minor !== 1) || status < 0) return undefined;
  if (hasPhrase && text.charCodeAt(start + 12) !== SPACE) return undefined;
  return { version: minor === 0 ? "1.0" : "1.1", status };
}

/** Three of them; -1: not so. */
function digits(text: string, at: number): number {
  let value = 0;
  for (let i = at; i < at + 3; i++) {
    const digit = text.charCodeAt(i) - ZERO;
    if (digit < 0 || digit > 9) return -1;
    value = value * 10 + digit;
  }
  return value;
}

function isBlank(code: number): boolean {
  return code === SPACE || code === 0x09;
}

const BAD_NAME = "field name is no token, or no colon behind it";
const COLON = 0x3a;
const SPACE = 0x20;
const ZERO = 0x30;
