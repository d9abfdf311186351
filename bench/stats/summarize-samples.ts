/** Pure. Medians of samples, and ratios between peers of one run. */
import { FOREIGN_LIMIT, type Sample } from "../l4/sample.ts";

export interface Row {
  readonly peer: string;
  /** Medians by name of the figure; empty when no sample is valid. */
  readonly figures: Readonly<Record<string, number>>;
  /** Samples that the medians are made of. */
  readonly used: number;
  readonly taken: number;
  /** True when only samples with much foreign load were there, so that they had to do. */
  readonly disturbed: boolean;
  /** Median share of the machine that the load took. */
  readonly loadShare: number;
  /** Distinct reasons for invalid samples. */
  readonly problems: readonly string[];
}

/** The middle value, or the mean of the two middle ones; NaN without values. */
export function median(values: readonly number[]): number {
  const sorted = values.toSorted((x, y) => x - y);
  const middle = Math.floor(sorted.length / 2);
  const upper = sorted[middle] ?? Number.NaN;
  return sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] ?? Number.NaN) + upper) / 2;
}

/**
 * One row per peer, in the order given. Invalid samples never count; disturbed ones (foreign load above the limit) only
 * when there is no other.
 */
export function rowsOf(
  samples: readonly Sample[],
  measure: string,
  peers: readonly string[],
): readonly Row[] {
  return peers.flatMap((peer) => {
    const mine = samples.filter((sample) => sample.peer === peer && sample.measure === measure);
    return mine.length === 0 ? [] : [rowOf(peer, mine)];
  });
}

function rowOf(peer: string, samples: readonly Sample[]): Row {
  const valid = samples.filter((sample) => sample.problems.length === 0);
  const quiet = valid.filter((sample) => sample.foreignShare <= FOREIGN_LIMIT);
  const used = quiet.length > 0 ? quiet : valid;
  const names = new Set(used.flatMap((sample) => Object.keys(sample.figures)));
  const figures = [...names].map((name) => {
    const values = used.map((sample) => sample.figures[name]).filter((value) => value !== undefined);
    return [name, median(values)] as const;
  });
  return {
    peer,
    figures: Object.fromEntries(figures),
    used: used.length,
    taken: samples.length,
    disturbed: quiet.length === 0 && valid.length > 0,
    loadShare: median(used.map((sample) => sample.loadShare)),
    problems: [...new Set(samples.flatMap((sample) => sample.problems))],
  };
}

/** Undefined when either side has no such figure, or nothing can be divided by it. */
export function ratioTo(row: Row, reference: Row | undefined, figure: string): number | undefined {
  const value = row.figures[figure];
  const base = reference?.figures[figure];
  if (value === undefined || base === undefined || !(base > 0) || Number.isNaN(value)) return undefined;
  return value / base;
}
