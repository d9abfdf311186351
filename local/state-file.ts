/** The record of a local cluster, written before anything else is made, so that whatever happens the next start can clean up. */
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { AmbitError } from "#core/runtime/errors.ts";

export const STATE_ROOT = "/run/ambit";

export interface ClusterRecord {
  readonly id: string;
  /** `ambit-<id>`: begins every name. */
  readonly prefix: string;
  readonly pid: number;
  /** Start time of the owner (`/proc/<pid>/stat` field 22): a reused pid is not the owner. */
  readonly startTicks: string;
  readonly bootId: string;
  readonly cgroups: readonly string[];
  readonly nodes: readonly string[];
  readonly kubeconfigPath?: string;
  readonly apiUrl?: string;
  /** Set when the cluster is up. */
  readonly ready?: boolean;
}

export function checkClusterId(id: string): void {
  if (/^[a-z0-9]([a-z0-9-]{0,10}[a-z0-9])?$/.test(id)) return;
  throw new AmbitError(
    "CLUSTER_ID",
    `a cluster id has 1 to 12 lower-case letters, digits and dashes, unlike "${id.slice(0, 40)}"`,
  );
}

export function stateDirectory(id: string): string {
  return join(STATE_ROOT, id);
}

export function writeRecord(record: ClusterRecord): void {
  const directory = stateDirectory(record.id);
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  const file = join(directory, "cluster.json");
  writeFileSync(`${file}.tmp`, JSON.stringify(record, undefined, 2), { mode: 0o600 });
  renameSync(`${file}.tmp`, file);
}

export function readRecord(id: string): ClusterRecord | undefined {
  try {
    return JSON.parse(readFileSync(join(stateDirectory(id), "cluster.json"), "utf8")) as ClusterRecord;
  } catch {
    return undefined;
  }
}

export function ownerLogFile(id: string): string {
  return `${stateDirectory(id)}.log`;
}

export function clusterIds(): readonly string[] {
  if (!existsSync(STATE_ROOT)) return [];
  return readdirSync(STATE_ROOT, { withFileTypes: true })
    .filter((entry) => entry.isDirectory())
    .map((entry) => entry.name);
}

export function ownerAlive(record: ClusterRecord): boolean {
  return (
    record.bootId === bootId() && record.startTicks !== "" && startTicks(record.pid) === record.startTicks
  );
}

export function bootId(): string {
  return readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim();
}

/** Empty when there is no such process. */
export function startTicks(pid: number): string {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    return stat.slice(stat.lastIndexOf(")") + 2).split(" ")[19] ?? "";
  } catch {
    return "";
  }
}
