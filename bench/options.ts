/** Pure. The command line of the benchmark. */
import { parseArgs } from "node:util";
import { type Parsed, parsed, type Problem } from "#core/base/parse-result.ts";
import { MEASURES } from "./l4/measures.ts";
import { HTTP_MEASURES } from "./l7/http-measures.ts";

export const TOPOLOGIES = ["sockets", "pods", "both"] as const;
export type Topology = (typeof TOPOLOGIES)[number];

export const BENCHMARKS = ["l4", "l7"] as const;
export type Benchmark = (typeof BENCHMARKS)[number];

export interface BenchOptions {
  readonly help: boolean;
  readonly benchmark: Benchmark;
  readonly topology: Topology;
  readonly rounds: number;
  /** Measured seconds of each measurement. */
  readonly seconds: number;
  /** Names of peers and measures; a kind without a name is run in full. */
  readonly only: readonly string[];
  readonly peerA: string | undefined;
  readonly peerB: string | undefined;
  readonly jsonPath: string | undefined;
  readonly markdownPath: string | undefined;
  readonly congestionControl: string | undefined;
  /** Folder for CPU profiles of the ztunnels. */
  readonly profilePath: string | undefined;
}

export const PEER_NAMES: readonly string[] = [
  "direct",
  "haproxy",
  "nginx",
  "stunnel",
  "ambit",
  "ambit-public",
  "given",
];

export const HTTP_PEER_NAMES: readonly string[] = [
  "nginx",
  "haproxy",
  "waypoint",
  "direct-tls",
  "direct-hbone",
];

export const HELP = `Usage: npm run bench -- l4|l7 [options]

l4 measures Ambit's path through two ztunnels beside haproxy, nginx and stunnel of Debian 13; l7 measures a waypoint
beside haproxy and nginx, for HTTP. Side by side in one run, inside private network namespaces on this machine. Needs
root. Nothing leaves the machine except the first download of the reference peers' packages.

  --rounds N          rounds; the order of the peers rotates (default 5)
  --seconds S         measured seconds of each measurement (default 3)
  --topology NAME     sockets: proxies between two namespaces (default); pods: two captured pods on two nodes of
                      a local cluster, Ambit alone; both
  --only A,B,...      only these peers and measures
                      l4 peers: ${PEER_NAMES.join(" ")}
                      l4 measures: ${MEASURES.join(" ")}
                      l7 peers: ${HTTP_PEER_NAMES.join(" ")}
                      l7 measures: ${HTTP_MEASURES.join(" ")}
  --peer-a PATH       a program of your own for the client's side, and
  --peer-b PATH       for the server's side; see bench/README.md for what they are told
  --json FILE         write every sample
  --markdown FILE     write the tables
  --congestion NAME   congestion control (default: the first of cubic, reno that a namespace may use here)
  --profile FOLDER    CPU profiles of the ztunnels or the waypoint, which slows them a little
  --help

Examples:
  npm run bench -- l4 --rounds 5
  npm run bench -- l4 --rounds 1 --seconds 1 --only ambit,haproxy,bulk-8
  npm run bench -- l7 --rounds 5
`;

const FLAGS = {
  help: { type: "boolean" },
  rounds: { type: "string" },
  seconds: { type: "string" },
  only: { type: "string" },
  topology: { type: "string" },
  "peer-a": { type: "string" },
  "peer-b": { type: "string" },
  json: { type: "string" },
  markdown: { type: "string" },
  congestion: { type: "string" },
  profile: { type: "string" },
} as const;

/** `argv` without program and script. Every problem is reported. */
export function parseBenchOptions(argv: readonly string[]): Parsed<BenchOptions> {
  let given;
  try {
    given = parseArgs({ args: [...argv], options: FLAGS, allowPositionals: true });
  } catch (error) {
    return { ok: false, problems: [{ path: "", message: (error as Error).message }] };
  }
  const { values, positionals } = given;
  const problems: Problem[] = [];
  const benchmark = BENCHMARKS.find((name) => name === (positionals[0] ?? "l4"));
  if (positionals.length > 1 || benchmark === undefined)
    problems.push({
      path: "",
      message: `unknown benchmark "${positionals.join(" ")}"; there are ${BENCHMARKS.join(", ")}`,
    });
  if ((values["peer-a"] === undefined) !== (values["peer-b"] === undefined))
    problems.push({ path: "--peer-a", message: "and --peer-b belong together" });
  const options: BenchOptions = {
    topology: topologyOf(values.topology, problems),
    help: values.help === true,
    benchmark: benchmark ?? "l4",
    rounds: numberOf("--rounds", values.rounds ?? "5", { least: 1, most: 100, whole: true }, problems),
    seconds: numberOf("--seconds", values.seconds ?? "3", { least: 0.2, most: 120, whole: false }, problems),
    only: namesOf(values.only, benchmark ?? "l4", problems),
    peerA: values["peer-a"],
    peerB: values["peer-b"],
    jsonPath: values.json,
    markdownPath: values.markdown,
    congestionControl: values.congestion,
    profilePath: values.profile,
  };
  return problems.length === 0 ? parsed(options) : { ok: false, problems };
}

function topologyOf(text: string | undefined, problems: Problem[]): Topology {
  const topology = TOPOLOGIES.find((name) => name === (text ?? "sockets"));
  if (topology === undefined)
    problems.push({ path: "--topology", message: `must be one of ${TOPOLOGIES.join(", ")}` });
  return topology ?? "sockets";
}

const NAMES: Readonly<Record<Benchmark, readonly string[]>> = {
  l4: [...PEER_NAMES, ...MEASURES],
  l7: [...HTTP_PEER_NAMES, ...HTTP_MEASURES],
};

function namesOf(text: string | undefined, benchmark: Benchmark, problems: Problem[]): readonly string[] {
  const names = (text ?? "").split(",").filter((name) => name !== "");
  const known = new Set(NAMES[benchmark]);
  for (const name of names.filter((candidate) => !known.has(candidate)))
    problems.push({ path: "--only", message: `knows no "${name}"; one of ${[...known].join(", ")}` });
  return names;
}

interface Bounds {
  readonly least: number;
  readonly most: number;
  readonly whole: boolean;
}

function numberOf(flag: string, text: string, { least, most, whole }: Bounds, problems: Problem[]): number {
  const value = text.trim() === "" ? Number.NaN : Number(text);
  const fits = value >= least && value <= most && (!whole || Number.isInteger(value));
  if (!fits)
    problems.push({
      path: flag,
      message: `must be ${whole ? "a whole number" : "a number"} from ${least} to ${most}`,
    });
  return fits ? value : least;
}

/** Those of `all` that are named; all when none of them is. */
export function chosen<T extends string>(all: readonly T[], only: readonly string[]): readonly T[] {
  const named = all.filter((name) => only.includes(name));
  return named.length === 0 ? all : named;
}
