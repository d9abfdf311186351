/** Pure. The syntax of `host` and `:authority`: one unambiguous host with at most one port. Stricter than RFC 3986 on purpose. */
import { isIPv6 } from "node:net";

export function isAuthority(text: string): boolean {
  return text.startsWith("[") ? isBracketed(text) : NAME.test(text) && portOk(text.indexOf(":"), text);
}

/** For comparing two authorities of plain HTTP: case and the default port say nothing. */
export function sameAuthority(a: string, b: string): boolean {
  return comparable(a) === comparable(b);
}

function comparable(authority: string): string {
  const lower = authority.toLowerCase();
  return lower.endsWith(":80") ? lower.slice(0, -3) : lower;
}

/** Labels of letters, digits, `-` and `_`, none empty but for one dot at the end. Bounded like a DNS name. */
const NAME = /^(?=[^:]{1,254}(?::|$))[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)*\.?(?::[1-9]\d{0,4})?$/;
const AFTER_BRACKET = /^(?::[1-9]\d{0,4})?$/;

function isBracketed(text: string): boolean {
  const close = text.indexOf("]");
  const address = text.slice(1, close);
  // A zone ("%eth0") means nothing to anybody else.
  if (close < 0 || address.includes("%") || !isIPv6(address)) return false;
  const rest = text.slice(close + 1);
  return AFTER_BRACKET.test(rest) && portOk(rest === "" ? -1 : 0, rest);
}

function portOk(colon: number, text: string): boolean {
  if (colon < 0) return true;
  const port = Number(text.slice(colon + 1));
  return port >= 1 && port <= 65_535;
}
