/** HOT PATH, pure. What may follow a body. Decisions are made before it, so nothing that they rest on may come after. */
import type { Side } from "./collect-fields.ts";
import { isConfusable, trailerRole } from "./field-roles.ts";
import type { HttpField, Refusal } from "./message.ts";
import { refusal } from "./raw-head.ts";

/** The trailers that go on. A request with a forbidden one is refused; in an answer it is left out, as RFC 9110 6.5.1 allows. */
export function checkTrailers(
  fields: readonly HttpField[],
  side: Side,
  fieldsRead: ReadonlySet<string> = NO_FIELDS,
): readonly HttpField[] | Refusal {
  if (fields.length === 0) return fields;
  const kept: HttpField[] = [];
  for (const field of fields) {
    const isForbidden =
      trailerRole(field.name) === "refuse" ||
      fieldsRead.has(field.name) ||
      isConfusable(field.name, fieldsRead);
    if (isForbidden && side === "request") return FORBIDDEN;
    if (!isForbidden && trailerRole(field.name) === "forward") kept.push(field);
  }
  return kept;
}

const NO_FIELDS: ReadonlySet<string> = new Set();
const FORBIDDEN = refusal(400, "trailer that would change what was decided");
