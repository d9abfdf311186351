/** Pure. Levels as people write them in `RUST_LOG` and at the admin port. */
import type { LogLevel } from "./log.ts";

const LEVELS: readonly LogLevel[] = ["trace", "debug", "info", "warn", "error"];

export function parseLogLevel(text: string): LogLevel | undefined {
  const name = (text.split(",")[0] ?? "").toLowerCase();
  return LEVELS.find((level) => level === ({ warning: "warn", critical: "error" }[name] ?? name));
}
