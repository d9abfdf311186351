/**
 * Pure. HOT PATH. Hosts of a request: case does not count; on the refusing side neither do a port, a dot at the end, and the way in which an address
 * is spelt.
 */
import type { StringMatch } from "../../model/authorization.ts";
import { ipFamily, parseIp } from "../../net/ip.ts";
import type { Side } from "./condition.ts";
import { type TextTest, textTest } from "./text-test.ts";

/** Of authorities as sent. */
export function hostTest(patterns: readonly StringMatch[], side: Side): TextTest {
  const lower = patterns.map(inLowerCase);
  if (side === "permitting") {
    const matches = textTest(lower);
    return (authority) => matches(authority.toLowerCase());
  }
  const matches = textTest(lower.map(inOneSpelling));
  return (authority) => matchesLoosely(matches, authority.toLowerCase());
}

function inLowerCase(match: StringMatch): StringMatch {
  return match.kind === "presence" ? match : { kind: match.kind, value: match.value.toLowerCase() };
}

function inOneSpelling(match: StringMatch): StringMatch {
  if (match.kind !== "exact") return match;
  const { name, port } = parts(match.value);
  return { kind: "exact", value: addressText(name) + port };
}

function matchesLoosely(matches: TextTest, host: string): boolean {
  const { name, port } = parts(host);
  return matchesName(matches, name, port) || matchesName(matches, otherSpelling(name), port);
}

function matchesName(matches: TextTest, name: string, port: string): boolean {
  return matches(name + port) || (port !== "" && matches(name));
}

/** What servers take for the same, if there is anything. */
function otherSpelling(name: string): string {
  return name.endsWith(".") ? name.slice(0, -1) : addressText(name);
}

/** The one text of an address in brackets; names, and what only looks like an address, as they are. */
function addressText(name: string): string {
  if (!name.startsWith("[")) return name;
  const address = parseIp(name.slice(1, -1));
  if (!address.ok) return name;
  return ipFamily(address.value) === 6 ? `[${address.value}]` : address.value;
}

/** `port` with its colon, or empty; colons inside of brackets are the address's own. */
function parts(host: string): { readonly name: string; readonly port: string } {
  const colon = host.lastIndexOf(":");
  return colon > host.lastIndexOf("]")
    ? { name: host.slice(0, colon), port: host.slice(colon) }
    : { name: host, port: "" };
}
