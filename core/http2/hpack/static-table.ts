/** Pure. The static table of RFC 7541 Appendix A: indexes 1 to 61. */
import { headerField, type HeaderField } from "./header-field.ts";

const ROWS: readonly (readonly [name: string, value: string])[] = [
  [":authority", ""],
  [":method", "GET"],
  [":method", "POST"],
  [":path", "/"],
  [":path", "/index.html"],
  [":scheme", "http"],
  [":scheme", "https"],
  [":status", "200"],
  [":status", "204"],
  [":status", "206"],
  [":status", "304"],
  [":status", "400"],
  [":status", "404"],
  [":status", "500"],
  ["accept-charset", ""],
  ["accept-encoding", "gzip, deflate"],
  ["accept-language", ""],
  ["accept-ranges", ""],
  ["accept", ""],
  ["access-control-allow-origin", ""],
  ["age", ""],
  ["allow", ""],
  ["authorization", ""],
  ["cache-control", ""],
  ["content-disposition", ""],
  ["content-encoding", ""],
  ["content-language", ""],
  ["content-length", ""],
  ["content-location", ""],
  ["content-range", ""],
  ["content-type", ""],
  ["cookie", ""],
  ["date", ""],
  ["etag", ""],
  ["expect", ""],
  ["expires", ""],
  ["from", ""],
  ["host", ""],
  ["if-match", ""],
  ["if-modified-since", ""],
  ["if-none-match", ""],
  ["if-range", ""],
  ["if-unmodified-since", ""],
  ["last-modified", ""],
  ["link", ""],
  ["location", ""],
  ["max-forwards", ""],
  ["proxy-authenticate", ""],
  ["proxy-authorization", ""],
  ["range", ""],
  ["referer", ""],
  ["refresh", ""],
  ["retry-after", ""],
  ["server", ""],
  ["set-cookie", ""],
  ["strict-transport-security", ""],
  ["transfer-encoding", ""],
  ["user-agent", ""],
  ["vary", ""],
  ["via", ""],
  ["www-authenticate", ""],
];

export const STATIC_TABLE_LENGTH = ROWS.length;

/** By index; index 0 does not exist and stays empty. */
export const STATIC_TABLE: readonly (HeaderField | undefined)[] = [
  undefined,
  ...ROWS.map(([name, value]) => headerField(name, value)),
];

/** Name to the first index that has it. */
export const STATIC_INDEX_BY_NAME: ReadonlyMap<string, number> = new Map(
  ROWS.map(([name], row) => [name, row + 1] as const).toReversed(),
);

/** Name to value to index, for the fields of which the table holds a whole pair. */
export const STATIC_INDEX_BY_FIELD: ReadonlyMap<string, ReadonlyMap<string, number>> = byField();

function byField(): Map<string, Map<string, number>> {
  const byName = new Map<string, Map<string, number>>();
  for (const [row, [name, value]] of ROWS.entries()) {
    const byValue = byName.get(name) ?? new Map<string, number>();
    byName.set(name, byValue.set(value, row + 1));
  }
  return byName;
}
