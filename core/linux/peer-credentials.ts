/** Who is at the other end of a unix socket, as the kernel recorded it at connect (unix(7)). */
import { readSocketOption, SOL_SOCKET } from "./socket-options.ts";
import { isErrno } from "./system-call-error.ts";

export interface PeerCredentials {
  /** 0 when the peer's process is not visible in this pid namespace. */
  readonly pid: number;
  readonly uid: number;
  readonly gid: number;
}

const SO_PEERCRED = 17;
const SO_PEERPIDFD = 77;

export function peerCredentials(fd: number): PeerCredentials {
  const credentials = readSocketOption(fd, SOL_SOCKET, SO_PEERCRED, 12);
  return {
    pid: credentials.readInt32LE(0),
    uid: credentials.readUInt32LE(4),
    gid: credentials.readUInt32LE(8),
  };
}

/** A pidfd of the peer, which no later process can impersonate; undefined before Linux 6.5 or when the peer is gone. */
export function peerPidfd(fd: number): number | undefined {
  try {
    return readSocketOption(fd, SOL_SOCKET, SO_PEERPIDFD, 4).readInt32LE(0);
  } catch (error) {
    if (isErrno(error, "ENOPROTOOPT", "ENODATA", "ESRCH", "EINVAL")) return undefined;
    throw error;
  }
}
