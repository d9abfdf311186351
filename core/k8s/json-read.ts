/** Pure. Reads fields of plain JSON that came from an API server: a wrong type reads as absent, never throws. */

export type JsonObject = Readonly<Record<string, unknown>>;

const NOTHING: JsonObject = {};

export function jsonObject(value: unknown): JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value)
    ? (value as JsonObject)
    : NOTHING;
}

export function jsonList(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [];
}

export function jsonText(value: unknown): string {
  return typeof value === "string" ? value : "";
}

export function jsonNumber(value: unknown): number | undefined {
  return typeof value === "number" && Number.isFinite(value) ? value : undefined;
}

/** Entries whose value is text; others are dropped. */
export function jsonTextRecord(value: unknown): Readonly<Record<string, string>> {
  const result: Record<string, string> = {};
  for (const [key, text] of Object.entries(jsonObject(value))) {
    if (typeof text === "string") result[key] = text;
  }
  return result;
}

/** Milliseconds since the epoch of an RFC 3339 time; undefined when absent or malformed. */
export function jsonTimeMs(value: unknown): number | undefined {
  const ms = typeof value === "string" ? Date.parse(value) : Number.NaN;
  return Number.isNaN(ms) ? undefined : ms;
}
