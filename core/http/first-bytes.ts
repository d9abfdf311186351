/**
 * Pure. What the first bytes of a caller are. HTTP is recognised as generously as any server reads it, and then judged strictly: what passed here as
 * "other" is not looked at again, so it must not be HTTP to anybody.
 */

export type FirstBytes = "more" | "http1" | "http2" | "tls" | "other";

/** With this many bytes there is a verdict. */
export const MAX_FIRST_BYTES = 4_096;

const PREFACE = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const TLS_HANDSHAKE = 0x16;
/** What some server skips before a request line, or takes for the blank in it. */
const BLANK = "[\\t\\n\\v\\f\\r\\x1c-\\x20\\x85\\xa0]";
const TOKEN = "[!#$%&'*+.^_`|~0-9A-Za-z-]+";
const LEADING = new RegExp(`^${BLANK}+`);
const BEGINS_REQUEST = new RegExp(`^${TOKEN}${BLANK}+(?:/|\\*${BLANK}|https?://)`, "i");
/** Which has no version, and this method alone. */
const BEGINS_HTTP_0_9 = new RegExp(`^GET${BLANK}`);
const MAY_BEGIN_REQUEST = new RegExp(`^(?:${TOKEN}(?:${BLANK}|$)|$)`);

export function readFirstBytes(bytes: Uint8Array): FirstBytes {
  if (bytes[0] === TLS_HANDSHAKE) return tlsOrOther(bytes);
  const text = latin1(bytes.subarray(0, MAX_FIRST_BYTES));
  if (PREFACE.startsWith(text)) return text.length === PREFACE.length ? "http2" : "more";
  if (text.startsWith(PREFACE)) return "http2";
  const line = text.replace(LEADING, "");
  if (BEGINS_REQUEST.test(line) || BEGINS_HTTP_0_9.test(line)) return "http1";
  if (!MAY_BEGIN_REQUEST.test(line)) return "other";
  const end = line.search(/[\r\n]/);
  if (/HTTP\//i.test(end < 0 ? line : line.slice(0, end))) return "http1";
  if (end >= 0) return "other";
  // Long enough and still possible: the strict reader refuses it.
  return text.length < MAX_FIRST_BYTES ? "more" : "http1";
}

/** A record of a handshake, version 3.x. */
function tlsOrOther(bytes: Uint8Array): FirstBytes {
  if (bytes.length < 2) return "more";
  return bytes[1] === 0x03 ? "tls" : "other";
}

function latin1(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString("latin1");
}
