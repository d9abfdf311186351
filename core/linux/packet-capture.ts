/**
 * Every frame that passes a device (packet(7)), for proofs of what is on the wire. Needs CAP_NET_RAW.
 * A claim of "nothing in clear" is worth nothing before the same capture has shown something in clear.
 */
import { closeSync } from "node:fs";
import { check, errno, libc, pollFd } from "./libc.ts";
import { NETLINK_ROUTE, withNetlink } from "./netlink.ts";
import { inNetns, type Netns } from "./netns.ts";
import { listLinks } from "./rtnetlink.ts";
import { setSocketOption } from "./socket-options.ts";
import { errnoName, SystemCallError } from "./system-call-error.ts";

export interface PacketCapture {
  /** Frames lost because the reader was too slow; must be 0 for a proof. */
  dropped(): number;
  close(): void;
}

export interface PacketCaptureOptions {
  readonly netns: Netns;
  readonly device: string;
}

const AF_PACKET = 17;
const SOCK_RAW_NONBLOCK = 3 | 0o4000 | 0o2000000;
/** ETH_P_ALL in network order. */
const ALL_PROTOCOLS = 0x0300;
const SOCKADDR_LL_BYTES = 20;
const SOL_PACKET = 263;
const PACKET_STATISTICS = 6;
const FRAME_BYTES = 1 << 17;
const QUEUE_BYTES = 32 << 20;
const FRAMES_PER_TURN = 256;

/** `onFrame` gets a copy of each Ethernet frame; offloaded super-frames come whole. */
export function capturePackets(
  options: PacketCaptureOptions,
  onFrame: (frame: Buffer) => void,
): PacketCapture {
  const link = withNetlink(NETLINK_ROUTE, options.netns, listLinks).find((l) => l.name === options.device);
  if (link === undefined) throw new SystemCallError(`capture on ${options.device}`, 19 /* ENODEV */);
  const fd = inNetns(options.netns, () => openPacketSocket(link.ifindex));
  const buffer = Buffer.allocUnsafeSlow(FRAME_BYTES);
  let droppedFrames = 0;
  const drain = (): void => {
    for (let i = 0; i < FRAMES_PER_TURN; i++) {
      const length = libc().recv(fd, buffer, buffer.length, 0);
      if (length < 0 && errnoName(errno()) !== "EAGAIN") continue;
      if (length < 0) return;
      onFrame(Buffer.from(buffer.subarray(0, length)));
    }
  };
  const poll = pollFd(fd, { readable: true }, drain);
  poll.unref();
  return {
    dropped: () => (droppedFrames += readDrops(fd)),
    close: () => {
      poll.close();
      closeSync(fd);
    },
  };
}

function openPacketSocket(ifindex: number): number {
  const fd = check(libc().socket(AF_PACKET, SOCK_RAW_NONBLOCK, ALL_PROTOCOLS), "socket AF_PACKET");
  const address = Buffer.alloc(SOCKADDR_LL_BYTES);
  address.writeUInt16LE(AF_PACKET, 0);
  address.writeUInt16LE(ALL_PROTOCOLS, 2);
  address.writeInt32LE(ifindex, 4);
  setSocketOption(fd, "SO_RCVBUFFORCE", QUEUE_BYTES);
  check(libc().bind(fd, address, address.length), "bind AF_PACKET");
  return fd;
}

/** Frames dropped since the last call. */
function readDrops(fd: number): number {
  const statistics = Buffer.alloc(8);
  const length = Buffer.from([8, 0, 0, 0]);
  check(
    libc().getsockopt(fd, SOL_PACKET, PACKET_STATISTICS, statistics, length),
    "getsockopt PACKET_STATISTICS",
  );
  return statistics.readUInt32LE(4);
}
