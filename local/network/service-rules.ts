/**
 * Pure. Virtual ports as one nftables transaction, replacing the whole table at once: a verdict map from address, protocol and port
 * to a chain that picks an endpoint. Only connections that a pod makes to itself through a service are masqueraded.
 */
import { createHash } from "node:crypto";
import type { Backend, VirtualPort } from "./service-ports.ts";

export const SERVICE_TABLE = "ambit-svc";

interface Family {
  readonly name: "ip" | "ip6";
  readonly suffix: "4" | "6";
  readonly type: "ipv4_addr" | "ipv6_addr";
}
const FAMILIES: readonly Family[] = [
  { name: "ip", suffix: "4", type: "ipv4_addr" },
  { name: "ip6", suffix: "6", type: "ipv6_addr" },
];

/** Input of `nft -f -`. The same ports in any order give the same text. */
export function serviceRuleset(ports: readonly VirtualPort[]): string {
  const sorted = uniqueByKey(ports).toSorted((a, b) => compare(keyOf(a), keyOf(b)));
  const families = FAMILIES.map((family) => ({
    family,
    ports: sorted.filter((port) => port.vip.includes(":") === (family.name === "ip6")),
  }));
  const jumps = (line: (family: Family) => string): string =>
    FAMILIES.map((f) => `    ${line(f)}\n`).join("");
  const key = (f: Family): string => `${f.name} daddr . meta l4proto . th dport`;
  return `add table inet ${SERVICE_TABLE}
delete table inet ${SERVICE_TABLE}
table inet ${SERVICE_TABLE} {
${families.map(({ family, ports: own }) => setsOf(family, own)).join("")}${families
    .flatMap(({ family, ports: own }) =>
      own.filter((p) => p.backends.length > 0).map((p) => endpointChain(family, p)),
    )
    .join("")}  chain services {
${jumps((f) => `${key(f)} vmap @v${f.suffix};`)}  }
  chain prerouting { type nat hook prerouting priority dstnat; jump services; }
  chain output { type nat hook output priority -100; jump services; }
  chain postrouting {
    type nat hook postrouting priority srcnat;
${jumps((f) => `ct status dnat ${f.name} saddr . ${f.name} daddr @hair${f.suffix} masquerade;`)}  }
  chain refuse {
${jumps((f) => `${key(f)} @none${f.suffix} meta l4proto tcp reject with tcp reset;`)}${jumps((f) => `${key(f)} @none${f.suffix} reject;`)}  }
  chain refuse_forward { type filter hook forward priority filter; ct state new jump refuse; }
  chain refuse_output { type filter hook output priority filter; ct state new jump refuse; }
}
`;
}

function setsOf({ suffix, type }: Family, ports: readonly VirtualPort[]): string {
  const served = ports.filter((port) => port.backends.length > 0);
  const empty = ports.filter((port) => port.backends.length === 0);
  const addresses = new Set(served.flatMap((port) => port.backends.map((backend) => backend.ip)));
  const hairpins = [...addresses].toSorted(compare).map((address) => `${address} . ${address}`);
  const key = `${type} . inet_proto . inet_service`;
  return [
    `  map v${suffix} { type ${key} : verdict;${elements(served.map((port) => `${keyOf(port)} : goto ${chainName(port)}`))} }`,
    `  set none${suffix} { type ${key};${elements(empty.map(keyOf))} }`,
    `  set hair${suffix} { type ${type} . ${type};${elements(hairpins)} }`,
    "",
  ].join("\n");
}

/** nft wants the protocol test before a translation that changes the port. */
function endpointChain({ name }: Family, port: VirtualPort): string {
  const backends = port.backends.toSorted((a, b) => compare(`${a.ip} ${a.port}`, `${b.ip} ${b.port}`));
  return `  chain ${chainName(port)} { meta l4proto ${port.protocol} dnat ${name} to ${destination(name, port, backends)}; }\n`;
}

function destination(family: "ip" | "ip6", port: VirtualPort, backends: readonly Backend[]): string {
  const [only] = backends;
  if (backends.length === 1 && only !== undefined) {
    return family === "ip6" ? `[${only.ip}]:${only.port}` : `${only.ip}:${only.port}`;
  }
  const choice = port.affinity
    ? `jhash ${family} saddr mod ${backends.length} seed 0x1`
    : `numgen random mod ${backends.length}`;
  return `${choice} map { ${backends.map((b, i) => `${i} : ${b.ip} . ${b.port}`).join(", ")} }`;
}

function elements(list: readonly string[]): string {
  return list.length === 0 ? "" : ` elements = { ${list.join(", ")} };`;
}

function keyOf(port: VirtualPort): string {
  return `${port.vip} . ${port.protocol} . ${port.port}`;
}

function chainName(port: VirtualPort): string {
  return `s_${createHash("sha256").update(keyOf(port)).digest("hex").slice(0, 12)}`;
}

/** Two services may claim one address by mistake; nft refuses doubles, so the first one wins. */
function uniqueByKey(ports: readonly VirtualPort[]): readonly VirtualPort[] {
  return [...new Map(ports.toReversed().map((port) => [keyOf(port), port])).values()];
}

function compare(a: string, b: string): number {
  return a < b ? -1 : Number(a > b);
}
