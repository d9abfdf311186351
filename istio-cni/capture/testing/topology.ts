/**
 * Two nodes of network namespaces with pods, for the kernel tests: n1 has pods a and b, n2 has pod c; a bridge per
 * node, one link `u0` between them, IPv4 and IPv6. Everything is named `ambit-cap<pid>-...`; leftovers of dead
 * processes are removed first.
 */
import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, rmdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { cgroup2Root } from "#core/linux/cgroup.ts";
import { check, libc } from "#core/linux/libc.ts";
import { createNamedNetns, deleteNamedNetns, inNetns, type Netns, openNetns } from "#core/linux/netns.ts";
import { ip, type IpAddress } from "#core/net/ip.ts";
import type { Attachment, CaptureTarget, NodeCapture } from "../capture.ts";
import { prepareNode } from "../prepare-node.ts";

const NAME = /^ambit-cap(\d+)-/;
const MNT_DETACH = 2;

export interface Pod {
  readonly name: string;
  readonly netns: Netns;
  readonly ipv4: IpAddress;
  readonly ipv6: IpAddress;
  readonly target: CaptureTarget;
}

export interface Topology {
  readonly prefix: string;
  readonly n1: Netns;
  readonly n2: Netns;
  readonly a: Pod;
  readonly b: Pod;
  readonly c: Pod;
  readonly bpffsDir: string;
  netnsName(name: string): string;
  /** `ip` commands inside a namespace. */
  ip(name: string, ...commands: readonly string[]): void;
  sysctl(name: string, path: string, value: string): void;
  /** Makes a cgroup v2 directory; undefined without cgroup v2. */
  cgroup(name: string): string | undefined;
  capture(attachment: Attachment, kubeletCgroup?: string): NodeCapture;
  close(): void;
}

/** false, or why root tests are skipped; with AMBIT_REQUIRE_ROOT=1 they run and fail instead. */
export function skipWithoutRoot(): false | string {
  if (process.getuid?.() === 0 || process.env["AMBIT_REQUIRE_ROOT"] === "1") return false;
  return "SKIPPED: needs root, network namespaces and BPF";
}

/** Attachments to test: both, or the one of AMBIT_CAPTURE. */
export function attachmentsUnderTest(): readonly Attachment[] {
  const wanted = process.env["AMBIT_CAPTURE"];
  if (wanted === "tcx" || wanted === "clsact") return [wanted];
  return ["tcx", "clsact"];
}

let nextTopology = 0;

export function createTopology(): Topology {
  reapDeadTopologies();
  const prefix = `ambit-cap${process.pid}-${nextTopology++}`;
  const netnsName = (name: string): string => `${prefix}-${name}`;
  const names = ["n1", "n2", "a", "b", "c"];
  for (const name of names) createNamedNetns(netnsName(name));
  const open = (name: string): Netns => openNetns(`/run/netns/${netnsName(name)}`);
  const run = (name: string, ...commands: readonly string[]): void => ipBatch(netnsName(name), commands);
  makeNode(run, 1);
  makeNode(run, 2);
  run("n1", `link add u0 type veth peer name u0 netns ${netnsName("n2")}`);
  for (const [node, self, other] of [["n1", 1, 2] as const, ["n2", 2, 1] as const]) {
    run(
      node,
      `addr add 172.31.91.${self}/30 dev u0`,
      `addr add fd91:ff::${self}/64 dev u0 nodad`,
      "link set u0 up",
    );
    run(node, `route add 10.91.${other}.0/24 via 172.31.91.${other}`);
    run(node, `route add fd91:${other}::/64 via fd91:ff::${other}`);
  }
  const place = { a: [1, 10], b: [1, 11], c: [2, 10] } as const;
  const pod = (name: "a" | "b" | "c"): Pod => {
    const [node, host] = place[name];
    connectPod(run, netnsName, name, node, host);
    const netns = open(name);
    const ipv4 = ip(`10.91.${node}.${host}`);
    const ipv6 = ip(`fd91:${node}::${host}`);
    return { name, netns, ipv4, ipv6, target: { podUid: `uid-${name}`, netns, ips: [ipv4, ipv6] } };
  };
  const bpffsDir = mountBpffs(prefix);
  const cgroups: string[] = [];
  const captures: NodeCapture[] = [];
  const topology = { n1: open("n1"), n2: open("n2"), a: pod("a"), b: pod("b"), c: pod("c") };
  return {
    ...topology,
    prefix,
    bpffsDir,
    netnsName,
    ip: run,
    sysctl: (name, path, value) => {
      const netns = open(name);
      inNetns(netns, () => writeFileSync(join("/proc/sys/net", path), value));
      netns.close();
    },
    cgroup: (name) => {
      const root = cgroup2Root();
      if (root === undefined) return undefined;
      const path = join(root, `${prefix}-${name}`);
      mkdirSync(path);
      cgroups.push(path);
      return path;
    },
    capture: (attachment, kubeletCgroup) => {
      const kubelet = kubeletCgroup === undefined ? {} : { kubeletCgroup };
      const outcome = prepareNode({ bpffsDir, attachment, ...kubelet });
      if (outcome.kind === "unsupported") throw new Error(outcome.message);
      if (outcome.warnings.length > 0) throw new Error(outcome.warnings.join("; "));
      captures.push(outcome.capture);
      return outcome.capture;
    },
    close: () => {
      for (const capture of captures) capture.close();
      for (const netns of [topology.n1, topology.n2]) netns.close();
      for (const { netns } of [topology.a, topology.b, topology.c]) netns.close();
      for (const name of names) deleteNamedNetns(netnsName(name));
      for (const path of cgroups) rmdirSync(path);
      unmountBpffs(prefix);
    },
  };
}

type Run = (name: string, ...commands: readonly string[]) => void;

function makeNode(run: Run, node: number): void {
  run(
    `n${node}`,
    "link set lo up",
    "link add br0 type bridge",
    `addr add 10.91.${node}.1/24 dev br0`,
    `addr add fd91:${node}::1/64 dev br0 nodad`,
    "link set br0 up",
  );
}

export function connectPod(
  run: Run,
  netnsName: (name: string) => string,
  name: string,
  node: number,
  host: number,
): void {
  run(`n${node}`, `link add v${name} type veth peer name eth0 netns ${netnsName(name)}`);
  run(`n${node}`, `link set v${name} master br0 up`);
  run(
    name,
    "link set lo up",
    `addr add 10.91.${node}.${host}/24 dev eth0`,
    `addr add fd91:${node}::${host}/64 dev eth0 nodad`,
    "link set eth0 up",
    `route add default via 10.91.${node}.1`,
    `route add default via fd91:${node}::1`,
  );
  const netns = openNetns(`/run/netns/${netnsName(`n${node}`)}`);
  inNetns(netns, () => {
    writeFileSync("/proc/sys/net/ipv4/ip_forward", "1");
    writeFileSync("/proc/sys/net/ipv6/conf/all/forwarding", "1");
  });
  netns.close();
}

function ipBatch(netns: string, commands: readonly string[]): void {
  const input = `${commands.join("\n")}\n`;
  execFileSync("ip", ["-n", netns, "-batch", "-"], { input, timeout: 20_000 });
}

function mountBpffs(prefix: string): string {
  const directory = `/run/${prefix}-bpf`;
  mkdirSync(directory);
  check(libc().mount("bpf", directory, "bpf", 0, null), "mount bpf", directory);
  return directory;
}

function unmountBpffs(prefix: string): void {
  const directory = `/run/${prefix}-bpf`;
  libc().umount2(directory, MNT_DETACH);
  if (existsSync(directory)) rmdirSync(directory);
}

/** Removes namespaces, mounts and cgroups of test processes that are gone. */
function reapDeadTopologies(): void {
  const isDead = (name: string): boolean => {
    const pid = NAME.exec(name)?.[1];
    return pid !== undefined && !existsSync(`/proc/${pid}`);
  };
  const list = (directory: string): readonly string[] =>
    existsSync(directory) ? readdirSync(directory) : [];
  for (const name of list("/run/netns").filter(isDead)) deleteNamedNetns(name);
  for (const name of list("/run").filter(isDead)) unmountBpffs(name.replace(/-bpf$/, ""));
  const cgroups = cgroup2Root();
  for (const name of cgroups === undefined ? [] : list(cgroups).filter(isDead))
    rmdirSync(join(cgroups ?? "", name));
}
