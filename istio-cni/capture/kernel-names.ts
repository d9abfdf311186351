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

/** In the pod's namespace, below /proc/sys/net. `optional`: kernels without it lose only what the comment says. */
export const SYSCTLS: readonly { readonly path: string; readonly optional: boolean }[] = [
  { path: "ipv4/conf/lo/accept_local", optional: false },
  { path: "ipv4/tcp_fwmark_accept", optional: false },
  { path: "ipv4/fwmark_reflect", optional: false },
  { path: "ipv6/fwmark_reflect", optional: true }, // absent without IPv6
  { path: "ipv4/tcp_migrate_req", optional: true }, // queued connections are reset when ztunnel restarts
];
