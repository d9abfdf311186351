/** Sockets that an application may try to get past capture with, and datagram exchanges that must not be touched. */
import { closeSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { addressOf, check, errno, libc } from "#core/linux/libc.ts";
import { NETLINK_ROUTE, withNetlink } from "#core/linux/netlink.ts";
import { inNetns, type Netns } from "#core/linux/netns.ts";
import { listLinks } from "#core/linux/rtnetlink.ts";
import { encodeSocketAddress } from "#core/linux/socket-encoding.ts";
import { errnoName } from "#core/linux/system-call-error.ts";
import { tcpSocketFd } from "#core/linux/tcp-socket.ts";
import { ip, ipToBytes } from "#core/net/ip.ts";

const AF_INET = 2;
const AF_INET6 = 10;
const AF_PACKET = 17;
const SOL_IP = 0;
const SOL_SOCKET = 1;
const SOL_IPV6 = 41;
const IP_OPTIONS = 4;
const SO_BINDTODEVICE = 25;
const SO_ATTACH_FILTER = 26;
const SO_DETACH_FILTER = 27;
const IPV6_HOPOPTS = 54;
const IPV6_RTHDR = 57;
const IPV6_DSTOPTS = 59;
const NONBLOCK = 0o4000 | 0o2000000;
const DGRAM = 2;
const RAW = 3;
const IPPROTO_ICMP = 1;
const IPPROTO_TCP = 6;
const IPPROTO_ICMPV6 = 58;

export interface OddSocket {
  readonly name: string;
  readonly fd: number;
  readonly host: string;
}

/** TCP sockets with IPv6 extension headers, IPv4 options and the like, to be connected to the hosts. */
export function oddSockets(netns: Netns, ipv4: string, ipv6: string): readonly OddSocket[] {
  const padding = Buffer.from([0, 0, 1, 4, 0, 0, 0, 0]);
  const v6 = (name: string, option: number, value: Buffer): OddSocket =>
    withOption({ name, host: ipv6, fd: tcpSocketFd({ netns, family: 6 }) }, SOL_IPV6, option, value);
  const v4 = (name: string, level: number, option: number, value: Buffer): OddSocket =>
    withOption({ name, host: ipv4, fd: tcpSocketFd({ netns, family: 4 }) }, level, option, value);
  const record = Buffer.alloc(40);
  record.set([7, 39, 4]);
  return [
    v6("destination options", IPV6_DSTOPTS, padding),
    v6("hop-by-hop options", IPV6_HOPOPTS, padding),
    v4("IPv4 no-operation options", SOL_IP, IP_OPTIONS, Buffer.alloc(40, 1)),
    v4("IPv4 record route", SOL_IP, IP_OPTIONS, record),
    v4("bound to the device", SOL_SOCKET, SO_BINDTODEVICE, Buffer.from("eth0\0")),
    { name: "IPv4-mapped", host: `::ffff:${ipv4}`, fd: tcpSocketFd({ netns, family: 6 }) },
  ];
}

/** A loose source route over the server itself (RFC 791 3.1); needs CAP_NET_RAW. */
export function looselyRouted(netns: Netns, ipv4: string): OddSocket {
  const socket = { name: "loose source route", host: ipv4, fd: tcpSocketFd({ netns, family: 4 }) };
  const route = Buffer.concat([Buffer.from([1, 131, 7, 4]), ipToBytes(ip(ipv4))]);
  return withOption(socket, SOL_IP, IP_OPTIONS, route);
}

/** A segment-routing header (RFC 8754), which no privilege is needed for. */
export function sourceRouted(netns: Netns, ipv6: string): OddSocket {
  const header = Buffer.concat([Buffer.from([0, 2, 4, 0, 0, 0, 0, 0]), ipToBytes(ip(ipv6))]);
  const socket = { name: "routing header", host: ipv6, fd: tcpSocketFd({ netns, family: 6 }) };
  return withOption(socket, SOL_IPV6, IPV6_RTHDR, header);
}

/** A socket whose option memory is used up by a filter, so that nothing more can be stored with it. */
export function withoutOptionMemory(netns: Netns, host: string): OddSocket {
  const fd = tcpSocketFd({ netns, family: host.includes(":") ? 6 : 4 });
  const largest = (low: number, high: number, fits: (n: number) => boolean): number => {
    while (low < high) {
      const middle = Math.ceil((low + high) / 2);
      if (fits(middle)) low = middle;
      else high = middle - 1;
    }
    return low;
  };
  const loads = largest(0, 4_000, (n) => attachFilter(fd, n, 0));
  const fill = largest(0, 4_090 - loads, (n) => attachFilter(fd, loads, n));
  attachFilter(fd, loads, fill);
  return { name: "no option memory", fd, host };
}

/** Sends TCP segments from a raw IPv4 socket: a SYN with data and a segment with data. */
export function sendRawTcp(netns: Netns, host: string): void {
  const fd = inNetns(netns, () => check(libc().socket(AF_INET, RAW | NONBLOCK, IPPROTO_TCP), "socket raw"));
  const address = encodeSocketAddress({ ip: ip(host), port: 0 });
  for (const [port, flags] of [[7_777, 0x02] as const, [7_778, 0x18] as const]) {
    const segment = Buffer.concat([tcpHeader(port, 8080, flags), Buffer.from("RAW-CLEAR")]);
    libc().sendto(fd, segment, segment.length, 0, address, address.length);
  }
  closeSync(fd);
}

/** Puts whole Ethernet frames with TCP data onto the device: a true one, one that claims another protocol, a tagged one. */
export function sendFrames(netns: Netns, source: string, destination: string): void {
  const device = withNetlink(NETLINK_ROUTE, netns, listLinks).find((l) => l.name === "eth0")?.ifindex ?? 0;
  const fd = inNetns(netns, () => check(libc().socket(AF_PACKET, RAW | NONBLOCK, 0), "socket packet"));
  const address = Buffer.alloc(20);
  address.writeUInt16LE(AF_PACKET, 0);
  address.writeInt32LE(device, 4);
  const payload = Buffer.concat([tcpHeader(7_779, 8080, 0x18), Buffer.from("FRAME-CLEAR")]);
  const header = Buffer.alloc(20);
  header.set([0x45, 0]);
  header.writeUInt16BE(20 + payload.length, 2);
  header.set([64, IPPROTO_TCP], 8);
  header.set(ipToBytes(ip(source)), 12);
  header.set(ipToBytes(ip(destination)), 16);
  const macs = Buffer.from([255, 255, 255, 255, 255, 255, 2, 0, 0, 0, 0, 1]);
  const ethertypes = [
    [8, 0],
    [8, 0],
    [0x81, 0, 0, 0, 8, 0],
  ].map((bytes) => Buffer.from(bytes));
  ethertypes.forEach((ethertype, i) => {
    if (i === 1) address.writeUInt16BE(0x88b5, 2); // a protocol for local experiments (IEEE 802)
    const frame = Buffer.concat([macs, ethertype, header, payload]);
    libc().sendto(fd, frame, frame.length, 0, address, address.length);
  });
  closeSync(fd);
}

/** An echo server for datagrams on the port, both families. */
export function startUdpEcho(netns: Netns, port: number): { close(): void } {
  const fd = inNetns(netns, () => check(libc().socket(AF_INET6, DGRAM | NONBLOCK, 0), "socket udp"));
  const address = encodeSocketAddress({ ip: ip("::"), port });
  check(libc().bind(fd, address, address.length), "bind udp");
  let open = true;
  void (async () => {
    const peer = Buffer.alloc(28);
    const bytes = Buffer.alloc(9_000);
    while (open) {
      const length = receiveFrom(fd, bytes, peer);
      if (length > 0) libc().sendto(fd, bytes, length, 0, peer, peer.length);
      else await sleep(2);
    }
    closeSync(fd);
  })();
  return {
    close: () => {
      open = false;
    },
  };
}

/** Sends `length` bytes and returns how many came back; 0 after a second. */
export async function askUdp(netns: Netns, host: string, port: number, length: number): Promise<number> {
  return exchange(netns, { host, port, protocol: 0, payload: Buffer.alloc(length, 117) });
}

/** An echo request; needs net.ipv4.ping_group_range. */
export async function ping(netns: Netns, host: string, length: number): Promise<number> {
  const v6 = host.includes(":");
  const head = Buffer.from([v6 ? 128 : 8, 0, 0, 0, 0, 1, 0, 1]);
  const payload = Buffer.concat([head, Buffer.alloc(length, 112)]);
  return exchange(netns, { host, port: 0, protocol: v6 ? IPPROTO_ICMPV6 : IPPROTO_ICMP, payload });
}

interface Exchange {
  readonly host: string;
  readonly port: number;
  readonly protocol: number;
  readonly payload: Buffer;
}

async function exchange(netns: Netns, { host, port, protocol, payload }: Exchange): Promise<number> {
  const domain = host.includes(":") ? AF_INET6 : AF_INET;
  const fd = inNetns(netns, () => check(libc().socket(domain, DGRAM | NONBLOCK, protocol), "socket dgram"));
  const address = encodeSocketAddress({ ip: ip(host), port });
  try {
    check(libc().connect(fd, address, address.length), "connect dgram");
    check(libc().send(fd, payload, payload.length, 0), "send dgram");
    const reply = Buffer.alloc(9_000);
    for (let i = 0; i < 100; i++) {
      const length = libc().recv(fd, reply, reply.length, 0);
      if (length >= 0) return length;
      await sleep(10);
    }
    return 0;
  } finally {
    closeSync(fd);
  }
}

/** recvfrom by way of recvmsg. */
function receiveFrom(fd: number, bytes: Buffer, peer: Buffer): number {
  const vector = Buffer.alloc(16);
  vector.writeBigUInt64LE(addressOf(bytes), 0);
  vector.writeBigUInt64LE(BigInt(bytes.length), 8);
  const header = Buffer.alloc(56);
  header.writeBigUInt64LE(addressOf(peer), 0);
  header.writeUInt32LE(peer.length, 8);
  header.writeBigUInt64LE(addressOf(vector), 16);
  header.writeBigUInt64LE(1n, 24);
  return libc().recvmsg(fd, header, 0);
}

function withOption(socket: OddSocket, level: number, option: number, value: Buffer): OddSocket {
  check(libc().setsockopt(socket.fd, level, option, value, value.length), `setsockopt ${socket.name}`);
  return socket;
}

/** Classic BPF: `loads` times LD_ABS (which the kernel expands), `fill` plain loads, accept. */
function attachFilter(fd: number, loads: number, fill: number): boolean {
  const program = Buffer.alloc(8 * (loads + fill + 1));
  for (let i = 0; i < loads; i++) program.writeUInt16LE(0x20, 8 * i);
  program.writeUInt16LE(6, 8 * (loads + fill));
  program.writeUInt32LE(0xffff_ffff, 8 * (loads + fill) + 4);
  const filter = Buffer.alloc(16);
  filter.writeUInt16LE(loads + fill + 1, 0);
  filter.writeBigUInt64LE(addressOf(program), 8);
  libc().setsockopt(fd, SOL_SOCKET, SO_DETACH_FILTER, Buffer.alloc(4), 4);
  if (libc().setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, filter, filter.length) === 0) return true;
  const name = errnoName(errno());
  if (name !== "ENOMEM" && name !== "EINVAL") throw new Error(`SO_ATTACH_FILTER: ${name}`);
  return false;
}

function tcpHeader(source: number, destination: number, flags: number): Buffer {
  const header = Buffer.alloc(20);
  header.writeUInt16BE(source, 0);
  header.writeUInt16BE(destination, 2);
  header.writeUInt32BE(1, 4);
  header.set([0x50, flags], 12);
  header.writeUInt16BE(1_000, 14);
  return header;
}
