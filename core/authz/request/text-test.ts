/** Pure. HOT PATH. A list of text matches, compiled: whether any of them matches. */
import type { StringMatch } from "../../model/authorization.ts";
import { matchesText } from "../match-connection.ts";

export type TextTest = (text: string) => boolean;

/** From here on a table is faster than comparing one by one. */
const MANY = 4;

export function textTest(entries: readonly StringMatch[]): TextTest {
  const exact = entries.flatMap((entry) => (entry.kind === "exact" ? [entry.value] : []));
  const [only] = exact;
  if (entries.length === 1 && only !== undefined) return (text) => text === only;
  if (exact.length < MANY) return anyOf(entries);
  const table = new Set(exact);
  const others = anyOf(entries.filter((entry) => entry.kind !== "exact"));
  return (text) => table.has(text) || others(text);
}

/** A loop, not `some`: no closure per request. */
function anyOf(entries: readonly StringMatch[]): TextTest {
  return (text) => {
    for (const entry of entries) if (matchesText(entry, text)) return true;
    return false;
  };
}
