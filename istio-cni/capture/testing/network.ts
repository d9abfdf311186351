/** The namespaces and links of a topology. */
import { execFileSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { createNamedNetns, deleteNamedNetns, inNetns, type Netns, openNetns } from "#core/linux/netns.ts";
import { ip, type IpAddress } from "#core/net/ip.ts";

export type PodName = "a" | "b" | "c";

export interface Network {
  netnsName(name: string): string;
  /** The caller closes it. */
  open(name: string): Netns;
  /** `ip` commands inside a namespace. */
  ip(name: string, ...commands: readonly string[]): void;
  sysctl(name: string, path: string, value: string): void;
  recreateDevice(name: PodName): void;
  close(): void;
}

type Run = Network["ip"];

const NAMES = ["n1", "n2", "a", "b", "c"];

export function createNetwork(prefix: string): Network {
  const netnsName = (name: string): string => `${prefix}-${name}`;
  const open = (name: string): Netns => openNetns(`/run/netns/${netnsName(name)}`);
  const run: Run = (name, ...commands) => ipBatch(netnsName(name), commands);
  for (const name of NAMES) {
    createNamedNetns(netnsName(name));
    const netns = open(name);
    prepareNetns(netns, name.startsWith("n"));
    netns.close();
  }
  makeNode(run, 1);
  makeNode(run, 2);
  connectNodes(run, netnsName("n2"));
  for (const name of ["a", "b", "c"] as const) connectPod(run, netnsName(name), name);
  return {
    netnsName,
    open,
    ip: run,
    sysctl: (name, path, value) => {
      const netns = open(name);
      inNetns(netns, () => writeFileSync(join("/proc/sys/net", path), value));
      netns.close();
    },
    recreateDevice: (name) => {
      run(`n${PLACES[name].node}`, `link del v${name}`);
      connectPod(run, netnsName(name), name);
    },
    close: () => {
      for (const name of NAMES) deleteNamedNetns(netnsName(name));
    },
  };
}

export function podAddresses(name: PodName): { readonly ipv4: IpAddress; readonly ipv6: IpAddress } {
  const { node, host } = PLACES[name];
  return { ipv4: ip(`10.91.${node}.${host}`), ipv6: ip(`fd91:${node}::${host}`) };
}

function makeNode(run: Run, node: number): void {
  run(
    `n${node}`,
    "link set lo up",
    "link add br0 type bridge mcast_snooping 0", // the first neighbour solicitation would be lost
    `addr add 10.91.${node}.1/24 dev br0`,
    `addr add fd91:${node}::1/64 dev br0 nodad`,
    "link set br0 up",
  );
}

function connectNodes(run: Run, otherNetns: string): void {
  run("n1", `link add u0 type veth peer name u0 netns ${otherNetns}`);
  for (const [self, other] of [[1, 2] as const, [2, 1] as const])
    run(
      `n${self}`,
      `addr add 172.31.91.${self}/30 dev u0`,
      `addr add fd91:ff::${self}/64 dev u0 nodad`,
      "link set u0 up",
      `route add 10.91.${other}.0/24 via 172.31.91.${other}`,
      `route add fd91:${other}::/64 via fd91:ff::${other}`,
    );
}

interface Place {
  readonly node: number;
  readonly host: number;
}

const PLACES: Readonly<Record<PodName, Place>> = {
  a: { node: 1, host: 10 },
  b: { node: 1, host: 11 },
  c: { node: 2, host: 10 },
};

/** Makes the pod's device and its routes. */
function connectPod(run: Run, netns: string, name: PodName): void {
  const { node, host } = PLACES[name];
  const mac = `02:00:00:00:0${node}:${host}`; // a new device has the old address: neighbours need not learn it
  run(`n${node}`, `link add v${name} type veth peer name eth0 address ${mac} netns ${netns}`);
  run(`n${node}`, `link set v${name} master br0 up`);
  run(
    name,
    "link set lo up",
    `addr add 10.91.${node}.${host}/24 dev eth0`,
    `addr add fd91:${node}::${host}/64 dev eth0 nodad`,
    "link set eth0 up",
    `route add default via 10.91.${node}.1`,
    `route add default via fd91:${node}::1`,
  );
}

function prepareNetns(netns: Netns, forwards: boolean): void {
  inNetns(netns, () => {
    const set = (path: string, value: string): void => writeFileSync(join("/proc/sys/net", path), value);
    for (const which of ["all", "default"]) set(`ipv6/conf/${which}/accept_dad`, "0"); // addresses at once
    if (!forwards) return;
    set("ipv4/ip_forward", "1");
    set("ipv6/conf/all/forwarding", "1");
  });
}

function ipBatch(netns: string, commands: readonly string[]): void {
  const input = `${commands.join("\n")}\n`;
  execFileSync("ip", ["-n", netns, "-batch", "-"], { input, timeout: 20_000 });
}
