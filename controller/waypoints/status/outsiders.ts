/**
 * Pure. Who, outside of the mesh, was let in by workloads that a waypoint is about to stand before: from that moment on such callers are refused.
 * Read from ztunnels' metrics, which count the last hour's connections that were accepted without mutual TLS.
 */
import { ANNOTATION_EXCLUDE_PORTS } from "#core/model/waypoint.ts";
import { listed } from "../../status/listed.ts";

export interface WorkloadName {
  readonly namespace: string;
  /** Of the owner, such as the Deployment. */
  readonly name: string;
}

export interface Judgement {
  /** Whether it will refuse them. `port`: its own; 0 when that is not known. */
  readonly isRefused: (workload: WorkloadName, port: number) => boolean;
  /** Whether it has pods outside of the mesh: what was let in before it was enrolled is no news. */
  readonly isOutside: (workload: WorkloadName) => boolean;
  /** Whether the node has such pods now: what its ztunnel does not know is missing. */
  readonly isNeeded: (node: string) => boolean;
}

/** What one ztunnel counted. */
export interface OutsiderCount {
  /** How much of the last hour it knows; undefined when it does not count. */
  readonly windowSeconds: number | undefined;
  /** Connections by caller: `namespace/workload`, or the address where no pod has it. */
  readonly callers: ReadonlyMap<string, number>;
}

const METRIC = /^ambit_plaintext_connections_last_hour\{(.*)\} (\d+(?:\.\d+)?(?:e[+-]?\d+)?)/;
const WINDOW = /^ambit_plaintext_window_seconds (\d{1,9})$/;
const LABEL = /([a-z_]+)="((?:[^"\\]|\\.)*)"/g;
const MAX_LINES = 200_000;
const MAX_CALLERS = 1_000;

export function outsidersIn(metrics: string, judgement: Judgement): OutsiderCount {
  const callers = new Map<string, number>();
  let windowSeconds: number | undefined;
  for (const line of metrics.split("\n", MAX_LINES)) {
    const window = WINDOW.exec(line);
    if (window !== null) windowSeconds = Number(window[1]);
    const found = METRIC.exec(line);
    if (found === null) continue;
    const caller = callerOf(labelsOf(found[1] ?? ""), judgement);
    if (caller !== undefined && (callers.size < MAX_CALLERS || callers.has(caller)))
      callers.set(caller, (callers.get(caller) ?? 0) + Number(found[2]));
  }
  return { windowSeconds, callers };
}

type Labels = ReadonlyMap<string, string>;

function labelsOf(text: string): Labels {
  return new Map([...text.matchAll(LABEL)].map(([, name, value]) => [name ?? "", value ?? ""]));
}

function callerOf(labels: Labels, { isRefused, isOutside }: Judgement): string | undefined {
  const text = (name: string): string => labels.get(name) ?? "";
  const destination = {
    namespace: text("destination_workload_namespace"),
    name: text("destination_workload"),
  };
  if (!isRefused(destination, Number(text("destination_port")))) return undefined;
  const name = text("source_workload");
  const namespace = text("source_workload_namespace");
  if (name === "" || name === "unknown") return text("source_address") || "unknown";
  return isOutside({ namespace, name }) ? `${namespace}/${name}` : undefined;
}

/** One ztunnel's answer; no `count` when it gave none. What is missing is told of nodes that are needed alone. */
export interface OutsiderAnswer {
  readonly node: string;
  readonly count: OutsiderCount | undefined;
  readonly isNeeded: boolean;
}

const HOUR_SECONDS = 3_600;

/** For a status; undefined when there is nothing to say. The most frequent first. `at`: when ztunnels were asked. */
export function describeOutsiders(answers: readonly OutsiderAnswer[], at: Date): string | undefined {
  const sum = new Map<string, number>();
  for (const [caller, count] of answers.flatMap(({ count }) => [...(count?.callers ?? [])]))
    sum.set(caller, (sum.get(caller) ?? 0) + count);
  const sorted = [...sum].filter(([, count]) => count > 0).toSorted(mostFrequent);
  const time = `${at.toISOString().slice(0, 16)}Z`;
  const needed = answers.filter(({ isNeeded }) => isNeeded);
  const silent = needed.filter(({ count }) => count?.windowSeconds === undefined).map(nodeText);
  const young = needed.flatMap(({ node, count }) => {
    const seconds = count?.windowSeconds ?? HOUR_SECONDS;
    return seconds < HOUR_SECONDS ? [`${nodeText({ node })} ${Math.floor(seconds / 60)} min`] : [];
  });
  const parts = [
    sorted.length === 0
      ? []
      : [
          `callers outside of the mesh that got in within the hour before ${time}, with their connections: ` +
            `${listed(sorted.map(([caller, count]) => `${caller} (${count})`))}; where this is enforced they are refused: enrol them, or exclude the port (annotation ${ANNOTATION_EXCLUDE_PORTS})`,
        ],
    sorted.length === 0 || young.length === 0
      ? []
      : [`ztunnels that started within that hour counted for less: ${listed(young.toSorted())}`],
    silent.length === 0
      ? []
      : [
          `ztunnels that could not be asked at ${time} which callers outside of the mesh they let in: ${listed(silent.toSorted())}`,
        ],
  ].flat();
  return parts.length === 0 ? undefined : parts.join("; ");
}

function nodeText({ node }: Pick<OutsiderAnswer, "node">): string {
  return `node ${node}`;
}

function mostFrequent([a, m]: readonly [string, number], [b, n]: readonly [string, number]): number {
  return n - m || (a < b ? -1 : 1);
}
