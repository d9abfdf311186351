/**
 * Pure. HOT PATH. Header fields of a request. Values are case-sensitive. Lines of one name count as one value joined by commas; on the refusing
 * side each line counts by itself too, because an application may read any of them.
 */
import type { HttpField } from "../../http/message.ts";
import type { StringMatch } from "../../model/authorization.ts";
import type { Side } from "./condition.ts";
import { textTest } from "./text-test.ts";

/** Presence: the field is there, even if it is empty. */
export function fieldTest(
  name: string,
  patterns: readonly StringMatch[],
  side: Side,
): (fields: readonly HttpField[]) => boolean {
  const presence = patterns.some(({ kind }) => kind === "presence");
  const bytes = patterns.map(inBytes);
  // Applications read bytes that are no ASCII as UTF-8, as Istio does, or as Latin-1.
  const matches = textTest(side === "refusing" ? [...bytes, ...patterns] : bytes);
  return (fields) => {
    let joined: string | undefined;
    for (const field of fields) {
      if (field.name !== name) continue;
      if (presence || (side === "refusing" && matches(field.value))) return true;
      joined = joined === undefined ? field.value : `${joined},${field.value}`;
    }
    return joined !== undefined && matches(joined);
  };
}

/** Values of a head have a character for each byte; a policy is text. */
function inBytes(match: StringMatch): StringMatch {
  if (match.kind === "presence") return match;
  return { kind: match.kind, value: Buffer.from(match.value, "utf8").toString("latin1") };
}
