/** Pure. Outcome of reading untrusted input: a value, or every problem found, each with its path. */

export interface Problem {
  /** Where, in the input's own words: `spec.rules[1].from[0].source.ipBlocks[0]`. Empty for the whole. */
  readonly path: string;
  /** What is wrong and what would be right, as a sentence without a full stop. */
  readonly message: string;
}

export type Parsed<T> =
  | { readonly ok: true; readonly value: T }
  | { readonly ok: false; readonly problems: readonly Problem[] };

export function parsed<T>(value: T): Parsed<T> {
  return { ok: true, value };
}

export function problem(
  path: string,
  message: string,
): { readonly ok: false; readonly problems: readonly Problem[] } {
  return { ok: false, problems: [{ path, message }] };
}

export function describeProblems(problems: readonly Problem[]): string {
  return problems.map((p) => (p.path === "" ? p.message : `${p.path}: ${p.message}`)).join("; ");
}
