/** Pure. HOT PATH. Hosts of a request: case does not count; on the refusing side neither do a port and a dot at the end. */
import type { StringMatch } from "../../model/authorization.ts";
import type { Side } from "./condition.ts";
import { type TextTest, textTest } from "./text-test.ts";

/** Of authorities as sent. */
export function hostTest(patterns: readonly StringMatch[], side: Side): TextTest {
  const matches = textTest(patterns.map(inLowerCase));
  return side === "permitting"
    ? (authority) => matches(authority.toLowerCase())
    : (authority) => matchesLoosely(matches, authority.toLowerCase());
}

function inLowerCase(match: StringMatch): StringMatch {
  return match.kind === "presence" ? match : { kind: match.kind, value: match.value.toLowerCase() };
}

function matchesLoosely(matches: TextTest, host: string): boolean {
  if (matches(host)) return true;
  const colon = portColon(host);
  const name = colon < 0 ? host : host.slice(0, colon);
  if (colon >= 0 && matches(name)) return true;
  if (!name.endsWith(".")) return false;
  const dotless = name.slice(0, -1);
  return matches(dotless) || (colon >= 0 && matches(dotless + host.slice(colon)));
}

/** Where the port begins, or -1; colons inside of brackets are the address's own. */
function portColon(host: string): number {
  const colon = host.lastIndexOf(":");
  return colon > host.lastIndexOf("]") ? colon : -1;
}
