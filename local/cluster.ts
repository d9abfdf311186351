/**
 * A local cluster from nothing to Ready and back. Order: state file, reaper, underlay, API, nodes. The process that calls `clusterUp`
 * owns the cluster: when it ends, in whatever way, the reaper removes everything.
 */
import { mkdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { installLauncher } from "./launcher/launcher.ts";
import { AmbitError } from "#core/runtime/errors.ts";
import { buildAll, OUT_DIR } from "#tools/build.ts";
import { startClusterApi, type ClusterApi } from "./cluster-api.ts";
import type { Cluster, ClusterNode, ClusterOptions, ClusterStatus } from "./cluster-types.ts";
import { hostLayout } from "./host-layout.ts";
import { type NodeAddresses, nodeAddresses } from "./network/addresses.ts";
import { createUnderlay } from "./network/underlay.ts";
import type { HostLayout } from "./node-plan.ts";
import { assertRoot, startNode } from "./node-start.ts";
import { reapNow, startReaper } from "./reaper.ts";
import {
  bootId,
  checkClusterId,
  type ClusterRecord,
  ownerAlive,
  readRecord,
  startTicks,
  stateDirectory,
  writeRecord,
} from "./state-file.ts";

export type { Cluster, ClusterNode, ClusterOptions, ClusterStatus } from "./cluster-types.ts";

/** For tests of nodes alone: no API, pods come from `<stateDir>/nodes/<name>/kubelet/manifests`. */
export interface ClusterInternals {
  readonly withoutApi?: boolean;
}

const STOP_TIMEOUT_MS = 20_000;

/** Fails with `CLUSTER_RUNNING` when a cluster of this id has a living owner; leftovers of a dead one are removed first. */
export async function clusterUp(options: ClusterOptions, internals: ClusterInternals = {}): Promise<Cluster> {
  assertRoot();
  checkClusterId(options.id);
  const old = readRecord(options.id);
  if (old !== undefined && ownerAlive(old)) {
    throw new AmbitError(
      "CLUSTER_RUNNING",
      `local cluster "${options.id}" is already running (process ${old.pid}): ambit local down --id ${options.id}`,
    );
  }
  if (old !== undefined) reapNow(old);
  const host = hostLayout();
  const record = newRecord(options, host);
  writeRecord(record);
  const reaper = startReaper(record);
  const stopping = new AbortController();
  let api: ClusterApi | undefined;
  const down = once(async () => {
    stopping.abort();
    await api?.close().catch(() => undefined);
    await reaper.fire();
  });
  try {
    return await build(
      { options, record, host, down, signal: stopping.signal, onApi: (running) => (api = running) },
      internals,
    );
  } catch (error) {
    await down();
    throw error;
  }
}

interface Build {
  readonly options: ClusterOptions;
  readonly record: ClusterRecord;
  readonly host: HostLayout;
  readonly down: () => Promise<void>;
  readonly signal: AbortSignal;
  readonly onApi: (api: ClusterApi) => void;
}

async function build(given: Build, internals: ClusterInternals): Promise<Cluster> {
  const { options, record, host, signal } = given;
  const say = options.progress ?? ((): void => undefined);
  const stateDir = stateDirectory(options.id);
  if (options.build !== false) {
    say("building the daemons' bundles");
    await buildAll(typeof options.build === "object" ? options.build : undefined);
  }
  const launcher = join(stateDir, "bin", "ambit-run");
  installLauncher(launcher);
  const addresses = Array.from({ length: options.nodes }, (_, i) => nodeAddresses(i + 1));
  say(`making ${options.nodes} nodes (network namespaces ${record.prefix}-n1 ...)`);
  const problems = await createUnderlay(record.prefix, addresses);
  const bridgeNetfilter = !problems.some((problem) => problem.includes("bridge-nf-call"));
  if (problems.length > 0) options.log.warn({ problems }, "some kernel settings are not there");
  const api = internals.withoutApi === true ? undefined : await startApi(given, addresses);
  const nodes: readonly ClusterNode[] = await Promise.all(
    addresses.map((node) =>
      startNode(
        {
          prefix: record.prefix,
          stateDir,
          addresses: node,
          host,
          launcher,
          bundles: OUT_DIR,
          nodeHome: dirname(dirname(process.execPath)),
          bridgeNetfilter,
          hosts: hostsText(addresses),
          kubeletEnv: periods(options),
          kubeconfig: api?.kubeletKubeconfig(node),
          log: options.log,
        },
        signal,
      ),
    ),
  );
  if (api !== undefined) {
    say("waiting until the nodes are Ready");
    await api.untilNodesReady(nodes.map((node) => node.name));
  }
  const kubeconfigPath = join(stateDir, "kubeconfig");
  const apiUrl = api?.url ?? "";
  writeRecord({ ...record, kubeconfigPath, apiUrl, ready: true });
  return {
    id: options.id,
    kubeconfigPath,
    apiUrl,
    stateDir,
    underlayNetns: `/run/netns/${record.prefix}-ul`,
    nodes,
    down: given.down,
  };
}

async function startApi(given: Build, addresses: readonly NodeAddresses[]): Promise<ClusterApi> {
  const { options, record } = given;
  const stateDir = stateDirectory(options.id);
  options.progress?.("starting the Kubernetes API");
  const api = await startClusterApi({
    prefix: record.prefix,
    stateDir,
    port: options.apiPort ?? 0,
    addresses,
    log: options.log,
  });
  given.onApi(api);
  writeFileSync(join(stateDir, "kubeconfig"), api.adminKubeconfig, { mode: 0o600 });
  return api;
}

/** Ends the cluster of another process, or cleans up after one. True when there was something. */
export async function clusterDown(id: string): Promise<boolean> {
  assertRoot();
  checkClusterId(id);
  const record = readRecord(id);
  if (record === undefined) return false;
  if (ownerAlive(record)) {
    process.kill(record.pid, "SIGTERM");
    const until = Date.now() + STOP_TIMEOUT_MS;
    while (Date.now() < until && (ownerAlive(record) || readRecord(id) !== undefined))
      await new Promise((resolve) => setTimeout(resolve, 50));
  }
  if (readRecord(id) !== undefined) reapNow(record);
  return true;
}

export function clusterStatus(id: string): ClusterStatus {
  const record = readRecord(id);
  if (record === undefined) return { id, state: "absent" };
  const { pid, kubeconfigPath, apiUrl, nodes } = record;
  if (!ownerAlive(record)) return { id, state: "stale", nodes };
  return {
    id,
    state: "running",
    pid,
    ready: record.ready === true,
    nodes,
    ...(kubeconfigPath === undefined ? {} : { kubeconfigPath }),
    ...(apiUrl === undefined ? {} : { apiUrl }),
  };
}

function newRecord(options: ClusterOptions, host: HostLayout): ClusterRecord {
  mkdirSync(stateDirectory(options.id), { recursive: true, mode: 0o700 });
  return {
    id: options.id,
    prefix: `ambit-${options.id}`,
    pid: process.pid,
    startTicks: startTicks(process.pid),
    bootId: bootId(),
    cgroups: [host.cgroups.v2, ...Object.values(host.cgroups.v1)],
    nodes: Array.from({ length: options.nodes }, (_, i) => `n${i + 1}`),
  };
}

function hostsText(addresses: readonly NodeAddresses[]): string {
  const nodes = addresses.map((node) => `${node.ip}\tn${node.index}\n${node.ip6}\tn${node.index}\n`);
  return `127.0.0.1\tlocalhost\n::1\tlocalhost\n${nodes.join("")}`;
}

function periods(options: ClusterOptions): Readonly<Record<string, string>> {
  const ms = (value: number | undefined): string | undefined =>
    value === undefined ? undefined : `${value}ms`;
  const all = { SANDBOX_RETRY: ms(options.sandboxRetryMs), CRASH_BACKOFF: ms(options.crashBackoffMs) };
  return Object.fromEntries(
    Object.entries(all).filter((entry): entry is [string, string] => entry[1] !== undefined),
  );
}

function once(task: () => Promise<void>): () => Promise<void> {
  let running: Promise<void> | undefined;
  return () => (running ??= task());
}
