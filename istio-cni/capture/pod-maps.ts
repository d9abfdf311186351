/** Reading and writing the pod's small maps. */
import { deleteElement, lookupElement, mapKeys, updateElement } from "#core/linux/bpf.ts";
import { formatIp, type IpAddress, ipToMappedBytes } from "#core/net/ip.ts";
import type { CaptureCounters, ListenerRole } from "./capture.ts";
import { COUNTER_INDEX, FLAG_DRAIN, FLAG_FORWARD, FLAG_HOLD, ROLE_INDEX } from "./kernel-names.ts";
import type { PodPins } from "./pins.ts";

export interface PodFlags {
  readonly drain: boolean;
  readonly hold: boolean;
  readonly forward: boolean;
}

export interface AddressChange {
  readonly added: readonly IpAddress[];
  readonly removed: readonly IpAddress[];
}

/** struct ip16. */
export function encodeIpKey(address: IpAddress): Buffer {
  return Buffer.from(ipToMappedBytes(address));
}

export function readFlags(pins: PodPins): PodFlags {
  const bits = pins.withMap("config", (map) => lookupElement(map, u32(0), 4)?.readUInt32LE(0) ?? 0);
  return {
    drain: (bits & FLAG_DRAIN) !== 0,
    hold: (bits & FLAG_HOLD) !== 0,
    forward: (bits & FLAG_FORWARD) !== 0,
  };
}

export function writeFlags(pins: PodPins, flags: PodFlags): void {
  const bits =
    (flags.drain ? FLAG_DRAIN : 0) | (flags.hold ? FLAG_HOLD : 0) | (flags.forward ? FLAG_FORWARD : 0);
  pins.withMap("config", (map) => updateElement(map, u32(0), u32(bits)));
}

export function readCounters(pins: PodPins): CaptureCounters {
  return pins.withMap("counters", (map) => {
    const entries = Object.entries(COUNTER_INDEX).map(([name, index]) => {
      const value = lookupElement(map, u32(index), 8);
      return [name, Number(value?.readBigUInt64LE(0) ?? 0n)];
    });
    return Object.fromEntries(entries) as CaptureCounters;
  });
}

/** Which roles have a listener at this moment. */
export function readListeners(pins: PodPins): Readonly<Record<ListenerRole, boolean>> {
  return pins.withMap("listeners", (map) => {
    const present = (role: ListenerRole): boolean =>
      lookupElement(map, u32(ROLE_INDEX[role]), 8) !== undefined;
    return { inbound: present("inbound"), outbound: present("outbound"), hbone: present("hbone") };
  });
}

export function readAddresses(pins: PodPins, name: "pod_ips" | "exempt"): readonly IpAddress[] {
  return pins.withMap(name, (map) => mapKeys(map, 16).map((key) => formatIp(key)));
}

/** Makes the map hold exactly `wanted`. */
export function syncAddresses(
  pins: PodPins,
  name: "pod_ips" | "exempt",
  wanted: readonly IpAddress[],
): AddressChange {
  const current = new Set(readAddresses(pins, name));
  const added = wanted.filter((ip) => !current.has(ip));
  const removed = [...current].filter((ip) => !wanted.includes(ip));
  pins.withMap(name, (map) => {
    for (const ip of added) updateElement(map, encodeIpKey(ip), u32(1));
    for (const ip of removed) deleteElement(map, encodeIpKey(ip));
  });
  return { added, removed };
}

function u32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value);
  return bytes;
}
