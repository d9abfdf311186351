/** Which sockets of a pod are captured, and which connections are older than the enrolment. `classify` is pure. */
import { destroyTcpSockets, listTcpSockets, type TcpSocketEntry } from "#core/linux/sock-diag.ts";
import type { Netns } from "#core/linux/netns.ts";
import { isLoopback, isUnspecified } from "#core/net/ip.ts";
import { MARK_APP, MARK_BITS, MARK_TO_LO, MARK_ZTUNNEL } from "./kernel-names.ts";
import type { PodPins } from "./pins.ts";

export type SocketClass =
  /** Flagged: every segment goes to lo for life. */
  | "captured-outbound"
  /** Accepted by the application from ztunnel. */
  | "captured-inbound"
  | "ztunnel"
  | "local"
  /** Nothing is sent any more, or nothing is connected. */
  | "idle"
  /** Bypasses the mesh. */
  | "pre-enrolment";

export interface Census {
  readonly capturedOutbound: readonly TcpSocketEntry[];
  readonly capturedInbound: readonly TcpSocketEntry[];
  readonly preEnrolment: readonly TcpSocketEntry[];
}

export function classify(entry: TcpSocketEntry): SocketClass {
  if (entry.state === "TIME-WAIT") return "idle"; // has neither storage nor payload
  if (entry.stored) return "captured-outbound";
  const mark = entry.mark & MARK_BITS;
  if (mark === MARK_APP) return "captured-inbound";
  if (mark === MARK_ZTUNNEL || mark === MARK_TO_LO) return "ztunnel";
  if (entry.remote.port === 0 || isUnspecified(entry.remote.ip) || entry.state === "CLOSED") return "idle";
  if (isLoopback(entry.remote.ip) || entry.remote.ip === entry.local.ip) return "local";
  return "pre-enrolment";
}

export function takeCensus(pins: PodPins, netns: Netns): Census {
  const entries = pins.withMap("captured", (storageMap) => listTcpSockets({ netns, storageMap }));
  const of = (wanted: SocketClass): readonly TcpSocketEntry[] =>
    entries.filter((entry) => classify(entry) === wanted);
  return {
    capturedOutbound: of("captured-outbound"),
    capturedInbound: of("captured-inbound"),
    preEnrolment: of("pre-enrolment"),
  };
}

export function capturedSockets(census: Census): readonly TcpSocketEntry[] {
  return [...census.capturedOutbound, ...census.capturedInbound];
}

export function destroySockets(netns: Netns, entries: readonly TcpSocketEntry[]): number {
  return destroyTcpSockets(netns, entries);
}
