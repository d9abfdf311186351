/** Waits for a state, not for a time. */
import { setTimeout as sleep } from "node:timers/promises";

/** Tries until `look` gives a value; fails with the last explanation after `timeoutMs`. */
export async function eventually<T>(
  what: string,
  look: () => Promise<T | undefined> | T | undefined,
  timeoutMs = 30_000,
): Promise<T> {
  const end = performance.now() + timeoutMs;
  let last = "";
  for (;;) {
    try {
      const value = await look();
      if (value !== undefined) return value;
    } catch (error) {
      last = error instanceof Error ? error.message : String(error);
    }
    if (performance.now() > end)
      throw new Error(`${what}: not after ${timeoutMs / 1000} s${last === "" ? "" : ` (${last})`}`);
    await sleep(100);
  }
}
