/** What is inside the nodes of a local cluster, as root of this machine sees it: processes of pods, pins, rules, logs. */
import { execFile } from "node:child_process";
import { existsSync, globSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { querySkLookup, queryTcx } from "#core/linux/bpf.ts";
import { inNetns, openNetns } from "#core/linux/netns.ts";
import { LISTEN_STATES, listTcpSockets } from "#core/linux/sock-diag.ts";
import { formatSocketAddress } from "#core/net/socket-address.ts";
import type { ClusterNode } from "#local/cluster-types.ts";
import { eventually } from "./eventually.ts";

const run = promisify(execFile);

export interface LogLine {
  readonly msg: string;
  readonly level: string;
  readonly scope: string;
  readonly [key: string]: unknown;
}

interface PodOfNode {
  readonly uid: string;
  readonly namespace: string;
  readonly name: string;
}

/** Processes of a pod (of one container if named), as this machine numbers them. */
export function podPids(node: ClusterNode, podUid: string, container = "*"): readonly number[] {
  const groups = globSync(`${node.cgroup}/kubepods/{,*/}pod${podUid}/${container}/cgroup.procs`);
  return groups.flatMap((file) => {
    const text = existsSync(file) ? readFileSync(file, "utf8") : "";
    return text
      .split("\n")
      .filter((line) => line !== "")
      .map(Number);
  });
}

/** Kills every process of a container, as a crash does. */
export function killContainer(node: ClusterNode, podUid: string, container: string): readonly number[] {
  const pids = podPids(node, podUid, container);
  if (pids.length === 0) throw new Error(`no process in ${container} of pod ${podUid}`);
  for (const pid of pids) killProcess(pid);
  return pids;
}

/** The first of a container takes the others with it: one that is gone already is killed. */
export function killProcess(pid: number): void {
  try {
    process.kill(pid, "SIGKILL");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error; // it has just ended by itself
  }
}

/** Kills a container so often that the kubelet waits before it starts it again; returns while it is away. */
export async function killUntilAway(
  node: ClusterNode,
  podUid: string,
  container: string,
  crashes: number,
): Promise<void> {
  for (let crash = 1; crash <= crashes; crash++) {
    await eventually(`${container} runs`, () =>
      podPids(node, podUid, container).length > 0 ? true : undefined,
    );
    const killed = killContainer(node, podUid, container);
    await eventually(`${container} killed`, () =>
      podPids(node, podUid, container).some((pid) => killed.includes(pid)) ? undefined : true,
    );
  }
  await eventually(`${container} away`, () =>
    podPids(node, podUid, container).length === 0 ? true : undefined,
  );
}

/** Path of a running pod's network namespace on this machine. */
export function podNetnsPath(node: ClusterNode, podUid: string): string {
  const [pid] = podPids(node, podUid);
  if (pid === undefined) throw new Error(`pod ${podUid} has no process`);
  return `/proc/${pid}/ns/net`;
}

/** Names of the pods whose capture is pinned on the node. */
export function pinnedPods(node: ClusterNode): readonly string[] {
  const directory = `/proc/${node.initPid}/root/sys/fs/bpf/ambit/pods`;
  return existsSync(directory) ? readdirSync(directory) : [];
}

/** Standard output of a program of this machine inside a network namespace. */
export async function inNetnsOf(path: string, command: readonly string[]): Promise<string> {
  const { stdout } = await run("nsenter", [`--net=${path}`, ...command], { timeout: 10_000 });
  return stdout;
}

/** Everything that capture leaves in a pod's namespace: rules, routes, filters, programs on its devices; empty when nothing. */
export async function captureTraces(netnsPath: string): Promise<readonly string[]> {
  const routing = await Promise.all(
    ["-4", "-6"].flatMap((family) => [
      inNetnsOf(netnsPath, ["ip", family, "rule"]),
      inNetnsOf(netnsPath, ["ip", family, "route", "show", "table", "all"]),
    ]),
  );
  const marked = routing
    .join("")
    .split("\n")
    .filter((line) => /fwmark|table 100\b/.test(line));
  const devices = ["lo", "eth0"];
  const filters = await Promise.all(
    devices.flatMap((device) =>
      ["ingress", "egress"].map(async (side) => {
        const text = await inNetnsOf(netnsPath, ["tc", "filter", "show", "dev", device, side]);
        return text.trim() === "" ? [] : [`tc ${device} ${side}: ${text.trim()}`];
      }),
    ),
  );
  const listeners = meshListeners(netnsPath).map((address) => `listener ${address}`);
  return [...marked, ...filters.flat(), ...(await attachedPrograms(netnsPath)), ...listeners];
}

/** Programs that steer arriving connections, and those that hang on devices by tcx; asked of bpf(2) through the project's own binding. */
async function attachedPrograms(netnsPath: string): Promise<readonly string[]> {
  const indexes = [...(await inNetnsOf(netnsPath, ["ip", "-o", "link"])).matchAll(/^(\d+): (\w+)/gm)];
  const netns = openNetns(netnsPath);
  try {
    const steering = querySkLookup(netns.fd).map((id) => `sk_lookup: ${id}`);
    const onDevices = inNetns(netns, () =>
      indexes.flatMap(([, index, device]) =>
        (["ingress", "egress"] as const).flatMap((side) => {
          const programs = safely(() => queryTcx(Number(index), side));
          return programs.length === 0 ? [] : [`tcx ${device} ${side}: ${programs.join(",")}`];
        }),
      ),
    );
    return [...steering, ...onDevices];
  } finally {
    netns.close();
  }
}

function safely(query: () => readonly number[]): readonly number[] {
  try {
    return query();
  } catch {
    return []; // a kernel without tcx has no such programs
  }
}

/** Listening sockets of the mesh in a pod's namespace. */
export function meshListeners(netnsPath: string): readonly string[] {
  const netns = openNetns(netnsPath);
  try {
    const listening = listTcpSockets({ netns, states: LISTEN_STATES });
    return listening.map((s) => formatSocketAddress(s.local)).filter((text) => /:1500[168]$/.test(text));
  } finally {
    netns.close();
  }
}

/** Lines of a container's log, all restarts, newest last; what is not JSON is left out. */
export function containerLog(node: ClusterNode, pod: PodOfNode, container: string): readonly LogLine[] {
  const directory = join(node.logDir, "pods", `${pod.namespace}_${pod.name}_${pod.uid}`, container);
  const files = globSync(`${directory}/*.log`).toSorted((a, b) => number(a) - number(b));
  return files.flatMap((file) => readFileSync(file, "utf8").split("\n").flatMap(parseLine));
}

function number(file: string): number {
  return Number(/(\d+)\.log$/.exec(file)?.[1] ?? 0);
}

/** Kubelets write `<time> stdout F <text>`; ours writes the text alone. */
function parseLine(line: string): readonly LogLine[] {
  const start = line.indexOf("{");
  if (start < 0) return [];
  try {
    return [JSON.parse(line.slice(start)) as LogLine];
  } catch {
    return [];
  }
}

export function untilLogged(
  what: string,
  read: () => readonly LogLine[],
  wanted: (line: LogLine) => boolean,
): Promise<LogLine> {
  return eventually(`log line: ${what}`, () => read().findLast(wanted));
}
