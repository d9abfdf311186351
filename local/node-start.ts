/** Starts a node: control groups, first process, CNI configuration, kubelet. The kubelet is started again when it ends. */
import { type ChildProcess } from "node:child_process";
import { closeSync, mkdirSync, openSync, readFileSync, readlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { namedNetnsPath } from "#core/linux/netns.ts";
import { AmbitError } from "#core/runtime/errors.ts";
import type { Logger } from "#core/runtime/log.ts";
import type { ClusterNode } from "./cluster-types.ts";
import { createCgroup } from "./kubelet/cgroups.ts";
import { untilReady } from "./kubelet/sandbox.ts";
import { launch } from "./launcher/launcher.ts";
import type { NodeAddresses } from "./network/addresses.ts";
import { conflistText } from "./network/node-conflist.ts";
import { enterNodePlan, cgroupDirectories, type HostLayout, nodeInitPlan } from "./node-plan.ts";

export interface NodeStart {
  readonly prefix: string;
  readonly stateDir: string;
  readonly addresses: NodeAddresses;
  readonly host: HostLayout;
  readonly launcher: string;
  readonly bundles: string;
  readonly nodeHome: string;
  /** Without br_netfilter pods are connected point to point instead of by a bridge. */
  readonly bridgeNetfilter: boolean;
  /** Text for `/etc/hosts` of the node. */
  readonly hosts: string;
  readonly kubeletEnv: Readonly<Record<string, string>>;
  /** Undefined: pods come from files in the kubelet's directory. */
  readonly kubeconfig: string | undefined;
  readonly log: Logger;
}

const INIT_START_MS = 15_000;
const KUBELET_RESTART_MS = 1_000;
/** Inside the node. */
const KUBELET_COMMAND = ["/opt/ambit/node/bin/node", "--disable-sigusr1", "/opt/ambit/lib/kubelet.mjs"];

export async function startNode(start: NodeStart, signal: AbortSignal): Promise<ClusterNode> {
  const name = `n${start.addresses.index}`;
  const group = `${start.prefix}/${name}`;
  const directory = join(start.stateDir, "nodes", name);
  const layout = start.host.cgroups;
  createCgroup(layout, group);
  for (const leaf of ["init", "kubelet"]) {
    for (const path of cgroupDirectories(layout, `${group}/${leaf}`)) mkdirSync(path, { recursive: true });
  }
  prepareDirectory(start, directory);
  const netns = namedNetnsPath(`${start.prefix}-${name}`);
  const plan = nodeInitPlan({
    name,
    host: start.host,
    cgroup: group,
    netns,
    directory,
    nodeHome: start.nodeHome,
    bundles: start.bundles,
    launcherDirectory: join(start.launcher, ".."),
  });
  const init = launch(
    start.launcher,
    { plan, end: ["pause"] },
    { env: {}, stdio: ["ignore", "pipe", "pipe"] },
  );
  await untilReady(init, INIT_START_MS);
  const initPid = Number(readFileSync(join(directory, "init.pid"), "utf8"));
  keepKubeletRunning(start, { group, directory, initPid, name }, signal);
  return {
    name,
    netns,
    ip: start.addresses.ip,
    ip6: start.addresses.ip6,
    initPid,
    logDir: join(directory, "log"),
    cgroup: `${layout.v2}/${group}`,
    kubeletSocket: join(directory, "kubelet", "kubelet.sock"),
  };
}

function prepareDirectory(start: NodeStart, directory: string): void {
  for (const part of ["root", "kubelet", "kubelet/manifests", "log", "cni-conf", "cni-bin"])
    mkdirSync(join(directory, part), { recursive: true, mode: 0o755 });
  writeFileSync(
    join(directory, "cni-conf", "10-ambit-local.conflist"),
    conflistText(start.addresses, start.bridgeNetfilter),
    { mode: 0o600 },
  );
  writeFileSync(join(directory, "hosts"), start.hosts);
  writeFileSync(join(directory, "resolv.conf"), "");
  if (start.kubeconfig !== undefined)
    writeFileSync(join(directory, "kubelet", "kubeconfig"), start.kubeconfig, { mode: 0o600 });
}

interface NodePlace {
  readonly group: string;
  readonly directory: string;
  readonly initPid: number;
  readonly name: string;
}

function keepKubeletRunning(start: NodeStart, place: NodePlace, signal: AbortSignal): void {
  const child = startKubelet(start, place);
  child.once("exit", (code, by) => {
    if (signal.aborted) return;
    start.log.warn({ node: place.name, code, signal: by }, "kubelet ended, starting it again");
    setTimeout(() => {
      if (!signal.aborted) keepKubeletRunning(start, place, signal);
    }, KUBELET_RESTART_MS).unref();
  });
}

function startKubelet(start: NodeStart, place: NodePlace): ChildProcess {
  const { addresses, kubeconfig } = start;
  const logFile = openSync(join(place.directory, "kubelet.log"), "a", 0o600);
  try {
    const plan = [...enterNodePlan(start.host.cgroups, `${place.group}/kubelet`, place.initPid), ["fork"]];
    const env = {
      PATH: "/usr/sbin:/usr/bin:/sbin:/bin",
      NODE_NAME: place.name,
      NODE_IP: addresses.ip,
      NODE_IP6: addresses.ip6,
      POD_CIDRS: `${addresses.podCidr},${addresses.podCidr6}`,
      MACHINE_NETNS: readlinkSync("/proc/self/ns/net"),
      ...(kubeconfig === undefined
        ? { POD_FILES: "/var/lib/kubelet/manifests" }
        : { KUBECONFIG: "/var/lib/kubelet/kubeconfig" }),
      ...start.kubeletEnv,
    };
    const child = launch(
      start.launcher,
      { plan, end: ["--", ...KUBELET_COMMAND] },
      { env, stdio: ["ignore", logFile, logFile] },
    );
    child.on("error", (error) =>
      start.log.error({ node: place.name, error: error.message }, "kubelet not started"),
    );
    child.unref();
    return child;
  } finally {
    closeSync(logFile);
  }
}

export function assertRoot(): void {
  if (process.getuid?.() === 0) return;
  throw new AmbitError(
    "NOT_ROOT",
    "the local cluster makes network namespaces and control groups: run it as root (sudo)",
  );
}
