/** What is on a link: a capture that remembers what it saw. */
import { setTimeout as sleep } from "node:timers/promises";
import { capturePackets } from "#core/linux/packet-capture.ts";
import type { Netns } from "#core/linux/netns.ts";

export interface Wire {
  /** Frames that contain the text. */
  countText(text: string): number;
  /** TCP segments from or to the port, of either family (extension headers are not followed). */
  countPort(port: number): number;
  /** Unicast IPv6 packets whose first next header is neither TCP nor ICMPv6. */
  countExtensionHeaders(): number;
  /** Waits until frames in flight have been seen. */
  settle(): Promise<void>;
  clear(): void;
  close(): void;
}

export function watchWire(netns: Netns, device: string): Wire {
  let frames: Buffer[] = [];
  const capture = capturePackets({ netns, device }, (frame) => frames.push(frame));
  return {
    countText: (text) => frames.filter((frame) => frame.includes(text)).length,
    countPort: (port) => frames.filter((frame) => tcpPorts(frame).includes(port)).length,
    countExtensionHeaders: () => frames.filter(hasExtensionHeader).length,
    settle: async () => {
      await sleep(150);
      if (capture.dropped() > 0) throw new Error("the capture lost frames: it proves nothing");
    },
    clear: () => {
      frames = [];
    },
    close: () => capture.close(),
  };
}

/** Sent to one address: the neighbourhood's own multicast reports carry a hop-by-hop header at any time (RFC 3810). */
function hasExtensionHeader(frame: Buffer): boolean {
  const isUnicastIpv6 = frame.readUInt16BE(12) === 0x86dd && frame.readUInt8(38) !== 0xff;
  return isUnicastIpv6 && ![6, 58].includes(frame.readUInt8(20));
}

function tcpPorts(frame: Buffer): readonly number[] {
  const kind = frame.readUInt16BE(12);
  if (kind === 0x0800 && frame.readUInt8(23) === 6) {
    const at = 14 + (frame.readUInt8(14) & 15) * 4;
    return frame.length >= at + 4 ? [frame.readUInt16BE(at), frame.readUInt16BE(at + 2)] : [];
  }
  if (kind === 0x86dd && frame.readUInt8(20) === 6) return [frame.readUInt16BE(54), frame.readUInt16BE(56)];
  return [];
}
