/**
 * Network namespaces. Only creating a socket (and netlink, bpf and /proc/sys/net access) needs to happen inside one:
 * a socket belongs to its namespace for life. Everything here is synchronous on the JS thread, so that no other code
 * can ever run in the wrong namespace; if the thread cannot come back the process aborts.
 */
import {
  closeSync,
  fstatSync,
  mkdirSync,
  openSync,
  readFileSync,
  rmSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { access } from "node:fs";
import { invariant } from "../base/invariant.ts";
import { AmbitError } from "../runtime/errors.ts";
import { check, libc } from "./libc.ts";
import { isErrno } from "./system-call-error.ts";

export interface Netns {
  readonly fd: number;
  /** Identity of the namespace: two fds of one namespace have the same inode. */
  readonly inode: bigint;
  close(): void;
}

export const NETNS_NOT_A_NAMESPACE = "NETNS_NOT_A_NAMESPACE";

const CLONE_NEWNET = 0x4000_0000;
const NS_GET_NSTYPE = 0xb703;
const MS_BIND = 4096;
const MS_SHARED = 1 << 20;
const MNT_DETACH = 2;
const NAMED_DIRECTORY = "/run/netns";

/** Opens a namespace by path (`/proc/<pid>/ns/net`, `/run/netns/<name>`); refuses anything that is not a network namespace. */
export function openNetns(path: string): Netns {
  return netnsFromFd(openSync(path, "r"));
}

/** Takes over `fd` (closes it with the Netns, or at once when it is not a network namespace). */
export function netnsFromFd(fd: number): Netns {
  try {
    if (check(libc().ioctl(fd, NS_GET_NSTYPE, null), "ioctl NS_GET_NSTYPE") !== CLONE_NEWNET)
      throw new AmbitError(
        NETNS_NOT_A_NAMESPACE,
        `descriptor ${fd} is a namespace, but not of the network kind`,
      );
  } catch (error) {
    closeSync(fd);
    if (!isErrno(error, "ENOTTY", "EINVAL", "ENOTDIR")) throw error;
    throw new AmbitError(NETNS_NOT_A_NAMESPACE, `descriptor ${fd} is not a network namespace`, {
      cause: error,
    });
  }
  const inode = fstatSync(fd, { bigint: true }).ino;
  let open = true;
  return {
    fd,
    inode,
    close: () => {
      if (open) closeSync(fd);
      open = false;
    },
  };
}

let homeFd: number | undefined;
let currentFd: number | undefined;

/** Runs `work` inside `ns` and comes back, also when it throws. May be nested. `work` must not be async. */
export function inNetns<T>(ns: Netns, work: () => T): T {
  const before = currentFd ?? homeNetnsFd();
  enter(ns.fd);
  let result: T;
  try {
    currentFd = ns.fd;
    result = work();
  } finally {
    currentFd = before === homeFd ? undefined : before;
    comeBack(before);
  }
  invariant(!(result instanceof Promise), "work inside a network namespace must be synchronous");
  return result;
}

/** Makes `/run/netns/<name>` as `ip netns add` does; loopback is down. */
export function createNamedNetns(name: string): void {
  const path = namedNetnsPath(name);
  prepareNamedDirectory();
  writeFileSync(path, "", { flag: "wx" });
  const before = currentFd ?? homeNetnsFd();
  try {
    check(libc().unshare(CLONE_NEWNET), "unshare CLONE_NEWNET");
    check(libc().mount("/proc/thread-self/ns/net", path, null, MS_BIND, null), "mount", path);
  } catch (error) {
    rmSync(path, { force: true });
    throw error;
  } finally {
    comeBack(before);
  }
}

/**
 * Makes the directory of names a shared mount point, as the first `ip netns add` on a machine does. If that came later,
 * by somebody else, it would cover our names with copies, and the originals below could not be removed any more.
 */
function prepareNamedDirectory(): void {
  mkdirSync(NAMED_DIRECTORY, { recursive: true });
  const lines = readFileSync("/proc/self/mountinfo", "utf8").split("\n");
  if (lines.some((line) => line.split(" ")[4] === NAMED_DIRECTORY)) return;
  check(libc().mount(NAMED_DIRECTORY, NAMED_DIRECTORY, null, MS_BIND, null), "mount", NAMED_DIRECTORY);
  check(libc().mount("none", NAMED_DIRECTORY, null, MS_SHARED, null), "mount shared", NAMED_DIRECTORY);
}

/** A new namespace without a name; it ends with the Netns and the last socket inside. Loopback is down. */
export function createAnonymousNetns(): Netns {
  const before = currentFd ?? homeNetnsFd();
  check(libc().unshare(CLONE_NEWNET), "unshare CLONE_NEWNET");
  try {
    return openNetns("/proc/thread-self/ns/net");
  } finally {
    comeBack(before);
  }
}

/** Removes the name; the namespace lives on while something holds it. Absent is fine. */
export function deleteNamedNetns(name: string): void {
  const path = namedNetnsPath(name);
  libc().umount2(path, MNT_DETACH);
  rmSync(path, { force: true });
}

export function namedNetnsPath(name: string): string {
  if (!/^[A-Za-z0-9][A-Za-z0-9._-]{0,100}$/.test(name)) throw new RangeError(`bad namespace name "${name}"`);
  return `${NAMED_DIRECTORY}/${name}`;
}

/** The namespace this thread started in. */
export function homeNetnsFd(): number {
  if (homeFd === undefined) {
    homeFd = openSync("/proc/thread-self/ns/net", "r");
    // libuv's threads inherit the namespace of their creator: make them now, at home.
    access("/", () => undefined);
  }
  return homeFd;
}

function enter(fd: number): void {
  check(libc().setns(fd, CLONE_NEWNET), "setns", "entering a pod's network namespace needs CAP_SYS_ADMIN");
}

function comeBack(fd: number): void {
  if (libc().setns(fd, CLONE_NEWNET) === 0) return;
  writeSync(2, "ambit: cannot return to the home network namespace; aborting\n");
  process.abort();
}
