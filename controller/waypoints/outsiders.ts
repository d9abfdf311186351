/**
 * Pure. Who, outside of the mesh, was let in by workloads that a waypoint is about to stand before: from that moment on such callers
 * are refused. Read from ztunnels' metrics, which count connections that were accepted without mutual TLS.
 */

export interface WorkloadName {
  readonly namespace: string;
  /** Of the owner, such as the Deployment. */
  readonly name: string;
}

const METRIC = /^istio_tcp_connections_opened_total\{(.*)\} (\d+(?:\.\d+)?(?:e[+-]?\d+)?)/;
const LABEL = /([a-z_]+)="((?:[^"\\]|\\.)*)"/g;
const MAX_LINES = 200_000;
const MAX_CALLERS = 1_000;

export interface Judgement {
  /** Whether the waypoint stands before it. */
  readonly isServed: (workload: WorkloadName) => boolean;
  /** Whether it has pods outside of the mesh: what was let in before it was enrolled is no news. */
  readonly isOutside: (workload: WorkloadName) => boolean;
}

/** Connections by caller, `namespace/workload`; `unknown` where no pod has the address. */
export function outsidersIn(
  metrics: string,
  { isServed, isOutside }: Judgement,
): ReadonlyMap<string, number> {
  const callers = new Map<string, number>();
  for (const line of metrics.split("\n", MAX_LINES)) {
    const found = METRIC.exec(line);
    const labels = labelsOf(found?.[1] ?? "");
    if (found === null || !isOutsider(labels) || !isServed(destinationOf(labels))) continue;
    const caller = callerOf(labels, isOutside);
    if (caller === undefined) continue;
    if (callers.size < MAX_CALLERS || callers.has(caller))
      callers.set(caller, (callers.get(caller) ?? 0) + Number(found[2]));
  }
  return callers;
}

type Labels = ReadonlyMap<string, string>;

function labelsOf(text: string): Labels {
  return new Map([...text.matchAll(LABEL)].map(([, name, value]) => [name ?? "", value ?? ""]));
}

function isOutsider(labels: Labels): boolean {
  return (
    labels.get("reporter") === "destination" && labels.get("connection_security_policy") !== "mutual_tls"
  );
}

function destinationOf(labels: Labels): WorkloadName {
  return {
    namespace: labels.get("destination_workload_namespace") ?? "",
    name: labels.get("destination_workload") ?? "",
  };
}

function callerOf(labels: Labels, isOutside: Judgement["isOutside"]): string | undefined {
  const name = labels.get("source_workload") ?? "";
  const namespace = labels.get("source_workload_namespace") ?? "";
  if (name === "" || name === "unknown") return "unknown";
  return isOutside({ namespace, name }) ? `${namespace}/${name}` : undefined;
}

export function sumOf(maps: readonly ReadonlyMap<string, number>[]): ReadonlyMap<string, number> {
  const sum = new Map<string, number>();
  for (const [caller, count] of maps.flatMap((map) => [...map]))
    sum.set(caller, (sum.get(caller) ?? 0) + count);
  return sum;
}

const MAX_NAMED = 5;

/** For a status; undefined when there is nobody. The most frequent first. */
export function describeOutsiders(callers: ReadonlyMap<string, number>): string | undefined {
  const sorted = [...callers]
    .filter(([, count]) => count > 0)
    .toSorted(([a, m], [b, n]) => n - m || (a < b ? -1 : 1));
  if (sorted.length === 0) return undefined;
  const named = sorted.slice(0, MAX_NAMED).map(([caller, count]) => `${caller} (${count})`);
  const more = sorted.length > MAX_NAMED ? ` and ${sorted.length - MAX_NAMED} more` : "";
  return `ztunnels have let in connections of callers outside of the mesh, which the waypoint's workloads refuse: ${named.join(", ")}${more}`;
}
