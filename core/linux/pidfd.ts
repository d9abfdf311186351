/** Descriptors of another process, taken by number (pidfd_getfd(2)). Needs CAP_SYS_PTRACE over that process. */
import { closeSync, readdirSync, readlinkSync } from "node:fs";
import { check, libc } from "./libc.ts";

const SYS_PIDFD_OPEN = 434;
const SYS_PIDFD_GETFD = 438;

/** A descriptor that stands for the process, not for its number. */
export function openPidfd(pid: number): number {
  return check(libc().syscallNumbers(SYS_PIDFD_OPEN, pid, 0, 0), "pidfd_open", `process ${pid}`);
}

/** A duplicate of the other process's descriptor; close-on-exec. */
export function duplicateFd(pidfd: number, fd: number): number {
  return check(libc().syscallNumbers(SYS_PIDFD_GETFD, pidfd, fd, 0), "pidfd_getfd", `descriptor ${fd}`);
}

/**
 * Duplicates of those descriptors of process `pid` that are sockets with one of these inodes. What the process closes
 * meanwhile is left out; a gone process gives ESRCH.
 */
export function duplicateSockets(pid: number, inodes: ReadonlySet<number>): readonly number[] {
  const pidfd = openPidfd(pid);
  const found: number[] = [];
  try {
    for (const name of readdirSync(`/proc/${pid}/fd`)) {
      const inode = socketInode(`/proc/${pid}/fd/${name}`);
      if (inode === undefined || !inodes.has(inode)) continue;
      const copy = duplicateFd(pidfd, Number(name));
      // The number may have been reused between the look and the duplication.
      if (socketInode(`/proc/self/fd/${copy}`) === inode) found.push(copy);
      else closeSync(copy);
    }
    return found;
  } catch (error) {
    for (const fd of found) closeSync(fd);
    throw error;
  } finally {
    closeSync(pidfd);
  }
}

function socketInode(path: string): number | undefined {
  try {
    const match = /^socket:\[(\d+)\]$/.exec(readlinkSync(path));
    return match === null ? undefined : Number(match[1]);
  } catch {
    return undefined;
  }
}
