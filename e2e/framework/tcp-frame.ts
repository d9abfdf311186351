/** Pure. TCP segments out of Ethernet frames, IPv4 and IPv6 without extension headers. */
import { formatIp, type IpAddress } from "#core/net/ip.ts";

export interface TcpSegment {
  readonly source: IpAddress;
  readonly sourcePort: number;
  readonly destination: IpAddress;
  readonly destinationPort: number;
  readonly syn: boolean;
  readonly ack: boolean;
  readonly payload: Buffer;
}

const TCP = 6;

/** Undefined for anything that is not a TCP segment. */
export function readTcpSegment(frame: Buffer): TcpSegment | undefined {
  if (frame.length < 54) return undefined;
  const etherType = frame.readUInt16BE(12);
  if (etherType === 0x0800 && frame.readUInt8(23) === TCP) return readIpv4(frame.subarray(14));
  if (etherType === 0x86dd && frame.readUInt8(20) === TCP) return readIpv6(frame.subarray(14));
  return undefined;
}

function readIpv4(packet: Buffer): TcpSegment | undefined {
  const header = (packet.readUInt8(0) & 15) * 4;
  const end = Math.min(packet.length, packet.readUInt16BE(2));
  return readTcp(
    packet.subarray(header, end),
    formatIp(packet.subarray(12, 16)),
    formatIp(packet.subarray(16, 20)),
  );
}

function readIpv6(packet: Buffer): TcpSegment | undefined {
  const length = packet.readUInt16BE(4);
  // Zero means a super-frame larger than the field can say.
  const end = length === 0 ? packet.length : Math.min(packet.length, 40 + length);
  return readTcp(
    packet.subarray(40, end),
    formatIp(packet.subarray(8, 24)),
    formatIp(packet.subarray(24, 40)),
  );
}

function readTcp(tcp: Buffer, source: IpAddress, destination: IpAddress): TcpSegment | undefined {
  if (tcp.length < 20) return undefined;
  const flags = tcp.readUInt8(13);
  return {
    source,
    sourcePort: tcp.readUInt16BE(0),
    destination,
    destinationPort: tcp.readUInt16BE(2),
    syn: (flags & 2) !== 0,
    ack: (flags & 16) !== 0,
    payload: tcp.subarray((tcp.readUInt8(12) >> 4) * 4),
  };
}
