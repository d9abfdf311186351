/** Pure. Numbers and names shared with the kernel programs (istio-cni/bpf/maps.h; a test compares them). */
import type { ListenerRole } from "./capture.ts";

export const MARK_BITS = 0xfff;
/** ztunnel's sockets. */
export const MARK_ZTUNNEL = 0x539;
/** A captured segment on its way to lo. */
export const MARK_TO_LO = 0x77;
/** Sockets that the application accepted from ztunnel. */
export const MARK_APP = 0x53a;

export const FLAG_DRAIN = 1;
export const FLAG_HOLD = 2;
export const FLAG_FORWARD = 4;

export const ROLE_INDEX: Readonly<Record<ListenerRole, number>> = { inbound: 0, outbound: 1, hbone: 3 };
export const ROLE_PORT: Readonly<Record<ListenerRole, number>> = {
  inbound: 15_006,
  outbound: 15_001,
  hbone: 15_008,
};
export const LISTENER_ROLES: readonly ListenerRole[] = ["outbound", "inbound", "hbone"];

/** Indexes of the map `counters`. */
export const COUNTER_INDEX = {
  inbound: 0,
  outbound: 1,
  hbone: 3,
  flagged: 4,
  noListener: 5,
  noMemory: 6,
  rawDropped: 7,
  resetsSent: 8,
  controlToLoopback: 9,
  probesExempted: 10,
  relabelled: 11,
} as const;

/** Results of the program `adopt`. */
export const ADOPT_RESULT = {
  ok: 0,
  noSocket: 1,
  notListening: 2,
  old: 3,
  busy: 4,
  foreign: 5,
} as const;

/** Maps pinned per pod; `probes` is the node's. */
export const POD_MAPS = [
  "listeners",
  "pod_ips",
  "exempt",
  "counters",
  "config",
  "captured",
  "adopted",
] as const;
export const POD_PROGRAMS = ["steer", "egress", "loopback", "adopt"] as const;

export type PodMap = (typeof POD_MAPS)[number];
export type PodProgram = (typeof POD_PROGRAMS)[number];

export const ROUTING_TABLE = 100;
export const MARK_RULES = [
  { priority: 80, mark: MARK_TO_LO, mask: 0xffff_ffff, table: ROUTING_TABLE },
  { priority: 81, mark: MARK_APP, mask: MARK_BITS, table: ROUTING_TABLE },
] as const;

/** Where deploy/50-istio-cni.yaml mounts the node's /proc/sys/net: a container's own is read-only unless it is privileged. */
export const NODE_SYSCTLS = "/host/proc/sys/net";

export interface Sysctl {
  /** Below /proc/sys/net, in the pod's namespace. */
  readonly path: string;
  readonly value: string;
  /** The kernel's default, restored at release. */
  readonly initial: string;
  /** Absent in some kernels; what is lost then is said beside it. */
  readonly optional: boolean;
}

export const SYSCTLS: readonly Sysctl[] = [
  { path: "ipv4/conf/lo/accept_local", value: "1", initial: "0", optional: false },
  { path: "ipv4/tcp_fwmark_accept", value: "1", initial: "0", optional: false },
  { path: "ipv4/fwmark_reflect", value: "1", initial: "0", optional: false },
  // Absent without IPv6.
  { path: "ipv6/fwmark_reflect", value: "1", initial: "0", optional: true },
  // Without it queued connections are reset when ztunnel restarts.
  { path: "ipv4/tcp_migrate_req", value: "1", initial: "0", optional: true },
  // Without it one client can open about 370 connections per second to a pod (one minute of TIME_WAIT per port).
  { path: "ipv4/tcp_tw_reuse", value: "1", initial: "2", optional: true },
];
