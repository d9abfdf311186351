/** Pure. Broken assumptions end loudly: a proxy that continues after one may do the unsafe thing. */

/** Throws when `condition` is false. Use for facts that only a bug can break, never for input. */
export function invariant(condition: boolean, what: string): asserts condition {
  if (!condition) throw new Error(`invariant broken: ${what}`);
}

/** Marks the default branch of an exhaustive switch; the compiler proves that it is never reached. */
export function unreachable(value: never): never {
  throw new Error(`unreachable case: ${JSON.stringify(value)}`);
}
