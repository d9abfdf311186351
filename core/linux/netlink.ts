/**
 * A netlink socket of one network namespace. Requests are synchronous: the kernel answers within the call, and a
 * receive timeout bounds what should never happen. The namespace is entered only to create the socket.
 */
import { closeSync } from "node:fs";
import { check, libc } from "./libc.ts";
import {
  decodeMessages,
  encodeMessage,
  type NetlinkMessage,
  NLM_F,
  NLMSG_DONE,
  NLMSG_ERROR,
} from "./netlink-encoding.ts";
import { inNetns, type Netns } from "./netns.ts";
import { AF_NETLINK } from "./socket-encoding.ts";
import { SystemCallError } from "./system-call-error.ts";

export const NETLINK_ROUTE = 0;
export const NETLINK_SOCK_DIAG = 4;

const SOCK_RAW = 3;
const SOCK_NONBLOCK = 0o4000;
const SOCK_CLOEXEC = 0o2000000;
const SOL_SOCKET = 1;
const SO_RCVTIMEO = 20;
const RECEIVE_TIMEOUT_S = 2;
const RECEIVE_BYTES = 1 << 18;

let receiveBuffer: Buffer | undefined;

export interface NetlinkSocket {
  readonly fd: number;
  /** Sends a change; throws the errno the kernel answers. */
  request(message: Omit<NetlinkMessage, "flags"> & { readonly flags?: number }): void;
  /** The bodies of all answers to a dump. */
  dump(type: number, body: Buffer): readonly NetlinkMessage[];
  close(): void;
}

export function openNetlink(protocol: number, netns?: Netns): NetlinkSocket {
  const make = (): number =>
    check(libc().socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, protocol), "socket AF_NETLINK");
  const fd = netns === undefined ? make() : inNetns(netns, make);
  const timeout = Buffer.alloc(16);
  timeout.writeBigInt64LE(BigInt(RECEIVE_TIMEOUT_S), 0);
  libc().setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, timeout, timeout.length);
  let sequence = 0;
  const send = (message: NetlinkMessage): void => {
    const bytes = encodeMessage(message, ++sequence);
    check(libc().send(fd, bytes, bytes.length, 0), "netlink send");
  };
  return {
    fd,
    request: ({ type, flags = 0, body }) => {
      send({ type, flags: flags | NLM_F.request | NLM_F.ack, body });
      for (const answer of receiveDatagram(fd)) throwOnError(answer, `netlink request ${type}`);
    },
    dump: (type, body) => {
      send({ type, flags: NLM_F.request | NLM_F.dump, body });
      return receiveDump(fd, `netlink dump ${type}`);
    },
    close: () => closeSync(fd),
  };
}

/** Runs `work` with a socket that is closed afterwards. */
export function withNetlink<T>(
  protocol: number,
  netns: Netns | undefined,
  work: (socket: NetlinkSocket) => T,
): T {
  const socket = openNetlink(protocol, netns);
  try {
    return work(socket);
  } finally {
    socket.close();
  }
}

/** A non-blocking socket that hears the multicast `groups` (bit mask); for `pollFd` and `receiveEvents`. */
export function netlinkListenerFd(netns: Netns | undefined, groups: number): number {
  const make = (): number => {
    const fd = check(
      libc().socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_ROUTE),
      "socket AF_NETLINK",
    );
    const address = Buffer.alloc(12);
    address.writeUInt16LE(AF_NETLINK, 0);
    address.writeUInt32LE(groups, 8);
    try {
      check(libc().bind(fd, address, address.length), "bind AF_NETLINK");
      return fd;
    } catch (error) {
      closeSync(fd);
      throw error;
    }
  };
  return netns === undefined ? make() : inNetns(netns, make);
}

/** One datagram of events; throws EAGAIN when there is none and ENOBUFS when events were lost. */
export function receiveEvents(fd: number): readonly NetlinkMessage[] {
  return receiveDatagram(fd);
}

function receiveDump(fd: number, what: string): readonly NetlinkMessage[] {
  const answers: NetlinkMessage[] = [];
  for (;;) {
    for (const message of receiveDatagram(fd)) {
      throwOnError(message, what);
      if (message.type === NLMSG_DONE) return answers;
      answers.push(message);
    }
  }
}

function receiveDatagram(fd: number): readonly NetlinkMessage[] {
  receiveBuffer ??= Buffer.allocUnsafeSlow(RECEIVE_BYTES);
  const length = check(libc().recv(fd, receiveBuffer, receiveBuffer.length, 0), "netlink recv");
  return decodeMessages(Buffer.from(receiveBuffer.subarray(0, length)));
}

function throwOnError(message: NetlinkMessage, what: string): void {
  if (message.type !== NLMSG_ERROR || message.body.length < 4) return;
  const code = message.body.readInt32LE(0);
  if (code !== 0) throw new SystemCallError(what, -code);
}
