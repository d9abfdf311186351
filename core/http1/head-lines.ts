/** HOT PATH, pure. The lines of a scanned head as start line and fields. Names become lower case, values lose blanks at their ends. */
import type { HttpField } from "../http/message.ts";

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
  let kinds = 0;
  for (;;) {
    const kind = NAME[text.charCodeAt(p)] as number;
    if (kind === 0) break;
    kinds |= kind;
    p++;
  }
  if (text.charCodeAt(p) !== COLON || p === start) return p === start ? nameless(text, start) : BAD_NAME;
  const name = nameOf(text.slice(start, p), kinds);
  let from = p + 1;
  let to = end;
  while (from < to && isBlank(text.charCodeAt(from))) from++;
  while (to > from && isBlank(text.charCodeAt(to - 1))) to--;
  return { name, value: text.slice(from, to) };
}

function nameless(text: string, start: number): string {
  return isBlank(text.charCodeAt(start)) ? "folded field line" : BAD_NAME;
}

/** Common names are shared, so that later look-ups find their hash ready. */
function nameOf(written: string, kinds: number): string {
  const known = SPELLINGS.get(written);
  if (known !== undefined) return known;
  return (kinds & UPPER) === 0 ? written : written.toLowerCase();
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
  const match = STATUS_LINE.exec(text.slice(start, Math.min(end, start + 13)));
  if (match === null) return undefined;
  return { version: match[1] === "0" ? "1.0" : "1.1", status: Number(match[2]) };
}

const STATUS_LINE = /^HTTP\/1\.([01]) (\d{3})(?: |$)/;
const BAD_NAME = "field name is no token, or no colon behind it";
const COLON = 0x3a;
const LOWER = 1;
const UPPER = 2;
const NAME = nameCharacters();
const SPELLINGS = spellings();

function nameCharacters(): Uint8Array {
  const kinds = new Uint8Array(256);
  for (const character of "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyz")
    kinds[character.charCodeAt(0)] = LOWER;
  for (let code = 0x41; code <= 0x5a; code++) kinds[code] = UPPER;
  return kinds;
}

function isBlank(code: number): boolean {
  return code === 0x20 || code === 0x09;
}

function spellings(): Map<string, string> {
  const names =
    "Accept Accept-Encoding Accept-Language Age Authorization Cache-Control Connection Content-Encoding Content-Length Content-Type Cookie " +
    "Date ETag Expect Expires Host If-Modified-Since If-None-Match Keep-Alive Last-Modified Location Origin Pragma Range Referer Server " +
    "Set-Cookie TE Trailer Transfer-Encoding Upgrade User-Agent Vary Via X-Correlation-Id X-Forwarded-For X-Forwarded-Host " +
    "X-Forwarded-Proto X-Request-Id traceparent tracestate baggage";
  const map = new Map<string, string>();
  for (const name of names.split(" ")) {
    map.set(name, name.toLowerCase());
    map.set(name.toLowerCase(), name.toLowerCase());
  }
  return map;
}
