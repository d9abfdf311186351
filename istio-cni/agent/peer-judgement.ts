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
  if (uid !== 0) return `it runs as uid ${uid}, not as root`;
  try {
    const cgroups = readFileSync(`/proc/${pid}/cgroup`, "utf8");
    return /\/kubepods(?:\.slice)?\//.test(cgroups) ? "it runs inside a pod" : undefined;
  } catch {
    return undefined; // already gone: the answer reaches nobody
  }
}
