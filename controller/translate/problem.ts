/** Pure. Something a user wrote that will not have the effect they may expect: for conditions, logs and debugging. */

export type ProblemReason =
  /** Well formed, but nobody enforces it. */
  | "UnsupportedValue"
  /** Malformed; treated in the stricter way. */
  | "Invalid"
  /** Claims something that belongs to another object; left out. */
  | "Refused";

export interface TranslationProblem {
  readonly kind: string;
  readonly namespace: string;
  readonly name: string;
  readonly generation: number;
  /** `spec.rules[1].to[0].operation.methods`. */
  readonly path: string;
  readonly reason: ProblemReason;
  /** A sentence without a full stop. */
  readonly message: string;
}

/** A result with what could not be taken over. */
export interface Translated<T> {
  readonly output: T;
  readonly problems: readonly TranslationProblem[];
}
