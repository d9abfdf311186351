/** Who may speak to the agent: ztunnel of this node on one socket, root outside every pod on the other. */
import { closeSync, readFileSync } from "node:fs";
import type { Socket } from "node:net";
import { peerCredentials } from "#core/linux/peer-credentials.ts";
import type { SeqpacketConnection } from "#core/linux/unix-seqpacket.ts";
import { describeError } from "#core/runtime/errors.ts";
import { isProcessOfPod } from "./pod-cgroups.ts";

/**
 * A ZDS client is handed every pod's namespace, so it must be a process of a ztunnel pod of this node, told by its
 * cgroup. The process is pinned while its cgroup is read, where the kernel can (SO_PEERPIDFD).
 */
export function judgeZtunnel(
  peer: SeqpacketConnection,
  cgroupPrefix: string,
  ztunnelUids: readonly string[],
): string | undefined {
  if (peer.peer.uid !== 0) return `it runs as uid ${peer.peer.uid}, not as root`;
  if (peer.peer.pid <= 0) return "its process is not visible (the agent needs hostPID)";
  const pidfd = peer.peerPidfd();
  try {
    const cgroups = readFileSync(`/proc/${peer.peer.pid}/cgroup`, "utf8");
    const isZtunnel = ztunnelUids.some((uid) => isProcessOfPod(cgroups, cgroupPrefix, uid));
    return isZtunnel ? undefined : "its process does not belong to a ztunnel pod of this node";
  } catch (error) {
    return `its process cannot be looked up: ${describeError(error)}`;
  } finally {
    if (pidfd !== undefined) closeSync(pidfd);
  }
}

/** The CNI plugin runs as root in the node, outside the kubelet's pods. */
export function judgeCniCaller(socket: Socket): string | undefined {
  const fd = (socket as unknown as { readonly _handle?: { readonly fd?: number } })._handle?.fd;
  if (fd === undefined || fd < 0) return "its credentials cannot be read";
  const { uid, pid } = peerCredentials(fd);
  return cniCallerRefusal(uid, cgroupsOf(pid));
}

/**
 * Pure. `cgroups` is /proc/PID/cgroup of the process that connected; undefined when it cannot be read. That is a refusal
 * too: a process in a pod could connect, hand the socket to a child and end before it is looked at.
 */
export function cniCallerRefusal(uid: number, cgroups: string | undefined): string | undefined {
  if (uid !== 0) return `it runs as uid ${uid}, not as root`;
  if (cgroups === undefined) return "its process has ended or cannot be looked up";
  return /\/kubepods(?:\.slice)?\//.test(cgroups) ? "it runs inside a pod" : undefined;
}

function cgroupsOf(pid: number): string | undefined {
  try {
    return readFileSync(`/proc/${pid}/cgroup`, "utf8");
  } catch {
    return undefined;
  }
}
