/** What `clusterUp` is told and gives back: the seam of the CLI, the demo, e2e and bench. No behaviour here. */
import type { Logger } from "#core/runtime/log.ts";

export interface ClusterOptions {
  /** Lower-case letters, digits and dashes, at most 12: part of every name that the cluster makes (`ambit-<id>-...`). */
  readonly id: string;
  /** Number of nodes, `n1`, `n2`, ... */
  readonly nodes: number;
  readonly log: Logger;
  /** Hears one sentence per step that takes long. */
  readonly progress?: (line: string) => void;
  /** API port on 127.0.0.1; 0 or absent: the kernel chooses. */
  readonly apiPort?: number;
  /** Wait between two attempts of a failed pod sandbox; 12 s as containerd and kubelet do when absent. */
  readonly sandboxRetryMs?: number;
  /** First wait of CrashLoopBackOff; 10 s when absent. */
  readonly crashBackoffMs?: number;
  /** Bundles to bring up to date before the start: all (default), the named ones, or none. */
  readonly build?: boolean | readonly string[];
}

export interface ClusterNode {
  readonly name: string;
  /** Path of the node's network namespace on this machine. */
  readonly netns: string;
  readonly ip: string;
  readonly ip6: string;
  /** Process id, on this machine, of the node's first process: its mount, pid and other namespaces are the node's. */
  readonly initPid: number;
  /** `/var/log` of the node as seen from this machine: `pods/<namespace>_<pod>_<uid>/<container>/<attempt>.log`. */
  readonly logDir: string;
  /** The node's v2 cgroup as seen from this machine. */
  readonly cgroup: string;
  readonly kubeletSocket: string;
}

export interface Cluster {
  readonly id: string;
  /** Mode 0600, group `system:masters`. */
  readonly kubeconfigPath: string;
  readonly apiUrl: string;
  readonly stateDir: string;
  /** Network namespace with the bridge `ul0` and one port `n1`, `n2`, ... per node: where the wire is watched. */
  readonly underlayNetns: string;
  readonly nodes: readonly ClusterNode[];
  /** Stops everything; safe to call twice. */
  down(): Promise<void>;
}

export interface ClusterStatus {
  readonly id: string;
  readonly state: "running" | "stale" | "absent";
  /** Owner process, when running. */
  readonly pid?: number;
  /** All nodes are Ready. */
  readonly ready?: boolean;
  readonly kubeconfigPath?: string;
  readonly apiUrl?: string;
  readonly nodes?: readonly string[];
}
