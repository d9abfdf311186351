/** How many descriptors this process may have open: what bounds its connections. */
import { readFileSync } from "node:fs";

const UNKNOWN = 1_024;

export function openFileLimit(): number {
  const limits = readFileSync("/proc/self/limits", "utf8");
  return Number(/^Max open files\s+(\d+)/m.exec(limits)?.[1] ?? UNKNOWN);
}
