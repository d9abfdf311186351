/** Pure. HOT PATH. Hosts of a request: case does not count; on the refusing side neither do a port and a dot at the end. */
import type { StringMatch } from "../../model/authorization.ts";
import { matchesText } from "../match-connection.ts";
import type { Side } from "./condition.ts";

/** The pattern as `hostHits` wants it. */
export function hostPattern(match: StringMatch): StringMatch {
  return match.kind === "presence" ? match : { kind: match.kind, value: match.value.toLowerCase() };
}

export function hostHits(pattern: StringMatch, authority: string, side: Side): boolean {
  const host = authority.toLowerCase();
  if (matchesText(pattern, host)) return true;
  if (side === "permitting") return false;
  const colon = portColon(host);
  const name = colon < 0 ? host : host.slice(0, colon);
  if (colon >= 0 && matchesText(pattern, name)) return true;
  if (!name.endsWith(".")) return false;
  const dotless = name.slice(0, -1);
  return matchesText(pattern, dotless) || (colon >= 0 && matchesText(pattern, dotless + host.slice(colon)));
}

/** Where the port begins, or -1; colons inside of brackets are the address's own. */
function portColon(host: string): number {
  const colon = host.lastIndexOf(":");
  return colon > host.lastIndexOf("]") ? colon : -1;
}
