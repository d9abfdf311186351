/**
 * Pure. HOT PATH. Header fields of a request. Values are case-sensitive. Lines of one name count as one value joined by commas; on the refusing
 * side each line counts by itself too, because an application may read any of them.
 */
import type { HttpField } from "../../http/message.ts";
import type { StringMatch } from "../../model/authorization.ts";
import { matchesText } from "../match-connection.ts";
import type { Side } from "./condition.ts";

/** Presence: the field is there, even if it is empty. */
export function fieldHits(
  pattern: StringMatch,
  fields: readonly HttpField[],
  name: string,
  side: Side,
): boolean {
  let joined: string | undefined;
  for (const field of fields) {
    if (field.name !== name) continue;
    if (pattern.kind === "presence" || (side === "refusing" && matchesText(pattern, field.value)))
      return true;
    joined = joined === undefined ? field.value : `${joined},${field.value}`;
  }
  return joined !== undefined && matchesText(pattern, joined);
}
