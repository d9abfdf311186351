/** One measurement of one peer in one round. */
export interface Sample {
  readonly peer: string;
  readonly round: number;
  readonly measure: string;
  readonly figures: Readonly<Record<string, number>>;
  /** Share of the machine, 0 to 1, that processes outside the benchmark took meanwhile. */
  readonly foreignShare: number;
  /** Share that the load generator and the servers took. */
  readonly loadShare: number;
  /** Why the figures must not be believed; empty when they may. */
  readonly problems: readonly string[];
}

/** More than this of the machine taken by others marks a sample. */
export const FOREIGN_LIMIT = 0.2;
