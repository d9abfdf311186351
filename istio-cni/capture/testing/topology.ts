/**
 * Two nodes with pods for the kernel tests: n1 has pods a and b, n2 has pod c; one link `u0` between the nodes, IPv4
 * and IPv6, a BPF file system of their own. Everything is named `ambit-cap<pid>-...`; leftovers of dead processes are
 * removed first.
 */
import { rmdirSync } from "node:fs";
import type { Netns } from "#core/linux/netns.ts";
import type { IpAddress } from "#core/net/ip.ts";
import { EnvReader } from "#core/runtime/env.ts";
import type { Attachment, CaptureTarget, NodeCapture } from "../capture.ts";
import { prepareNode } from "../prepare-node.ts";
import { makeCgroup, mountBpffs, reapDeadTopologies, unmountBpffs } from "./leftovers.ts";
import { createNetwork, podAddresses, type PodName } from "./network.ts";

export interface Pod {
  readonly name: PodName;
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
  /** Removes the pod's device and makes it anew, as a CNI plugin may. */
  recreateDevice(name: PodName): void;
  /** Makes a cgroup v2 directory; undefined without cgroup v2. */
  cgroup(name: string): string | undefined;
  capture(attachment: Attachment | "auto", kubeletCgroup?: string): NodeCapture;
  close(): void;
}

/** false, or why root tests are skipped; with AMBIT_REQUIRE_ROOT=1 they run and fail instead. */
export function skipWithoutRoot(): false | string {
  const required = new EnvReader().boolean("AMBIT_REQUIRE_ROOT", {
    default: false,
    help: "fail instead of skipping",
  });
  if (process.getuid?.() === 0 || required) return false;
  return "SKIPPED: needs root, network namespaces and BPF";
}

/** Attachments to test: both, or the one of AMBIT_CAPTURE. */
export function attachmentsUnderTest(): readonly Attachment[] {
  const wanted = new EnvReader().string("AMBIT_CAPTURE", { default: "", help: "tcx or clsact" });
  if (wanted === "tcx" || wanted === "clsact") return [wanted];
  return ["tcx", "clsact"];
}

let nextTopology = 0;

export function createTopology(): Topology {
  reapDeadTopologies();
  const prefix = `ambit-cap${process.pid}-${nextTopology++}`;
  const network = createNetwork(prefix);
  const pod = (name: PodName): Pod => {
    const netns = network.open(name);
    const { ipv4, ipv6 } = podAddresses(name);
    return { name, netns, ipv4, ipv6, target: { podUid: `uid-${name}`, netns, ips: [ipv4, ipv6] } };
  };
  const parts = { n1: network.open("n1"), n2: network.open("n2"), a: pod("a"), b: pod("b"), c: pod("c") };
  const bpffsDir = mountBpffs(prefix);
  const undo: (() => void)[] = [() => unmountBpffs(prefix), () => network.close()];
  for (const netns of [parts.n1, parts.n2, parts.a.netns, parts.b.netns, parts.c.netns])
    undo.push(() => netns.close());
  return {
    ...parts,
    prefix,
    bpffsDir,
    netnsName: network.netnsName,
    ip: network.ip,
    sysctl: network.sysctl,
    recreateDevice: network.recreateDevice,
    cgroup: (name) => {
      const path = makeCgroup(`${prefix}-${name}`);
      if (path !== undefined) undo.push(() => rmdirSync(path));
      return path;
    },
    capture: (attachment, kubeletCgroup) => {
      const kubelet = kubeletCgroup === undefined ? {} : { kubeletCgroup };
      const outcome = prepareNode({ bpffsDir, attachment, ...kubelet });
      if (outcome.kind === "unsupported") throw new Error(outcome.message);
      if (outcome.warnings.length > 0) throw new Error(outcome.warnings.join("; "));
      undo.push(() => outcome.capture.close());
      return outcome.capture;
    },
    close: () => {
      for (const step of undo.splice(0).toReversed()) step();
    },
  };
}
