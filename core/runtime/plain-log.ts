/** Pure. One JSON log line in Istio's plain form: time, level, scope, message, then `key=value` pairs, tab separated. */

const UNQUOTED = new Set(["src.addr", "dst.addr", "dst.hbone_addr"]);

export function plainLine(json: string): string {
  const { ts, level, scope, msg, ...fields } = JSON.parse(json) as Readonly<Record<string, unknown>>;
  const pairs = Object.entries(fields).map(([key, value]) => `${key}=${plainValue(key, value)}`);
  return `${[ts, level, scope, msg].join("\t")}\t${pairs.join(" ")}\n`;
}

function plainValue(key: string, value: unknown): string {
  return typeof value === "string" && UNQUOTED.has(key) ? value : JSON.stringify(value);
}
