/** Pure. The results as tables of cells, before any layout. */
import { EMPTY_ZTUNNEL_GOAL_MB, type Goal, type MeasureInfo, type Metric } from "../l4/measures.ts";
import { FOREIGN_LIMIT, type Sample } from "../l4/sample.ts";
import type { PeerFacts } from "../peers/peer.ts";
import { ratioTo, type Row, rowsOf } from "../stats/summarize-samples.ts";

export interface RunFacts {
  readonly title: string;
  /** Where it ran: how the two sides are joined. */
  readonly ground: string;
  readonly date: string;
  readonly machine: string;
  readonly kernel: string;
  readonly congestionControl: string;
  readonly rounds: number;
  readonly seconds: number;
  /** What a reader must know before believing a figure. */
  readonly remarks: readonly string[];
}

/** What a benchmark is about. */
export interface ReportSubject {
  readonly info: Readonly<Record<string, MeasureInfo>>;
  readonly goals: readonly Goal[];
  /** Ratios are to this one. */
  readonly referencePeer: string;
  /** Whose figures are judged by the goals. */
  readonly ambitPeer: string;
  /** Who shares which cores, and whose CPU is counted. */
  readonly means: string;
}

export interface ReportInput {
  readonly run: RunFacts;
  readonly subject: ReportSubject;
  readonly peers: readonly string[];
  readonly measures: readonly string[];
  readonly samples: readonly Sample[];
  readonly facts: Readonly<Record<string, PeerFacts>>;
  readonly failed: readonly string[];
  readonly emptyZtunnelBytes: number | undefined;
}

export interface Table {
  readonly title: string;
  readonly header: readonly string[];
  readonly rows: readonly (readonly string[])[];
}

export interface Report {
  readonly title: string;
  readonly paragraphs: readonly string[];
  readonly tables: readonly Table[];
  readonly notes: readonly string[];
}

export function makeReport(input: ReportInput): Report {
  const { run, subject, peers, measures, samples, facts } = input;
  const rowsByMeasure = new Map(measures.map((measure) => [measure, rowsOf(samples, measure, peers)]));
  const tables = measures.flatMap((measure) =>
    measureTable(subject, measure, rowsByMeasure.get(measure) ?? []),
  );
  return {
    title: run.title,
    paragraphs: [
      `${run.date}. ${run.machine}, Linux ${run.kernel}. ${run.ground}, ${run.congestionControl}. ` +
        `${run.rounds} interleaved rounds of ${run.seconds} s, medians. ${subject.means} ` +
        (peers.includes(subject.referencePeer)
          ? `In brackets: ratio to ${subject.referencePeer} in the same run. `
          : "") +
        `"load" is the share of the machine that generator and servers took.`,
      ...run.remarks,
    ],
    tables: [
      factsTable(peers, facts),
      ...tables,
      goalsTable(subject, rowsByMeasure, input.emptyZtunnelBytes),
    ].filter((table) => table.rows.length > 0),
    notes: notesOf(input, [...rowsByMeasure.values()].flat()),
  };
}

function factsTable(peers: readonly string[], facts: Readonly<Record<string, PeerFacts>>): Table {
  return {
    title: "Peers",
    header: ["peer", "version", "TLS library", "negotiated", "AES-256-GCM GiB/s (by)", "setting", "from"],
    rows: peers.flatMap((peer) => {
      const fact = facts[peer];
      if (fact === undefined) return [];
      const speed = fact.cipherGibPerSecond;
      const cipherSpeed = speed === undefined ? "-" : `${speed.toFixed(2)} (${fact.cipherMethod})`;
      return [[peer, fact.version, fact.tlsLibrary, fact.cipher, cipherSpeed, fact.setting, fact.origin]];
    }),
  };
}

function measureTable(subject: ReportSubject, measure: string, rows: readonly Row[]): readonly Table[] {
  const info = subject.info[measure];
  if (info === undefined) return [];
  const { title, metrics } = info;
  const reference = rows.find((row) => row.peer === subject.referencePeer);
  const table: Table = {
    title,
    header: ["peer", ...metrics.map((metric) => metric.title), "load", "samples"],
    rows: rows.map((row) => [
      row.peer,
      ...metrics.map((metric) => cell(row, reference, metric)),
      Number.isNaN(row.loadShare) ? "-" : `${Math.round(row.loadShare * 100)} %`,
      samplesCell(row),
    ]),
  };
  return [table];
}

function cell(row: Row, reference: Row | undefined, { name, digits }: Metric): string {
  const value = row.figures[name];
  if (value === undefined || Number.isNaN(value)) return "-";
  const text = digits === 0 ? groupThousands(Math.round(value)) : value.toFixed(digits);
  const ratio = ratioTo(row, reference, name);
  return ratio === undefined ? text : `${text} (${ratio.toFixed(2)})`;
}

function groupThousands(value: number): string {
  return String(value).replace(/\B(?=(\d{3})+$)/g, ",");
}

/** `3/5` used, with `*` when all of them were disturbed and INVALID when none counts. */
function samplesCell(row: Row): string {
  if (row.used === 0) return `INVALID 0/${row.taken}`;
  return `${row.used}/${row.taken}${row.disturbed ? " *" : ""}`;
}

function goalsTable(
  { goals, ambitPeer, referencePeer }: ReportSubject,
  rows: ReadonlyMap<string, readonly Row[]>,
  emptyBytes: number | undefined,
): Table {
  const goalRows = goals.flatMap((goal) => {
    const ofMeasure = rows.get(goal.measure) ?? [];
    const ambit = ofMeasure.find((row) => row.peer === ambitPeer);
    const reference = ofMeasure.find((row) => row.peer === referencePeer);
    const ratio = ambit === undefined ? undefined : ratioTo(ambit, reference, goal.metric);
    if (ratio === undefined) return [];
    const reached = goal.comparison === ">=" ? ratio >= goal.ratio : ratio <= goal.ratio;
    return [
      [goal.text, `${goal.comparison} ${goal.ratio} x ${referencePeer}`, ratio.toFixed(2), yesNo(reached)],
    ];
  });
  if (emptyBytes !== undefined) {
    const megabytes = emptyBytes / 1e6;
    const reached = yesNo(megabytes <= EMPTY_ZTUNNEL_GOAL_MB);
    goalRows.push([
      "RSS of one bundled ztunnel, empty mesh",
      `<= ${EMPTY_ZTUNNEL_GOAL_MB} MB`,
      `${megabytes.toFixed(0)} MB`,
      reached,
    ]);
  }
  return {
    title: "Goals (reported, not asserted)",
    header: ["figure", "goal", "measured", "reached"],
    rows: goalRows,
  };
}

function yesNo(value: boolean): string {
  return value ? "yes" : "no";
}

function notesOf({ failed, samples }: ReportInput, rows: readonly Row[]): readonly string[] {
  const disturbed = samples.filter((sample) => sample.foreignShare > FOREIGN_LIMIT).length;
  const percent = `${FOREIGN_LIMIT * 100} %`;
  const left = `${disturbed} of ${samples.length} samples had more than ${percent} of the machine taken by others; they are left out.`;
  return [
    ...(disturbed === 0 ? [] : [left]),
    ...(rows.some((row) => row.disturbed) ? ["*: only such samples were there, so they were used."] : []),
    ...rows.flatMap((row) => row.problems.map((problem) => `INVALID samples of ${row.peer}: ${problem}.`)),
    ...failed.map((text) => `Not run: ${text}.`),
  ];
}
