/**
 * Two private network namespaces joined by one link: applications and proxy A live in `a`, proxy B and the servers in
 * `b`. They go away with this process, also when it is killed: a shell waits for the end of a pipe.
 */
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { createNamedNetns, deleteNamedNetns, inNetns, type Netns, openNetns } from "#core/linux/netns.ts";
import { type IpAddress, ip } from "#core/net/ip.ts";

export const IP_A: IpAddress = ip("10.231.0.1");
export const IP_B: IpAddress = ip("10.231.0.2");
/** Service addresses, local in `a`: a dial to them on ztunnel's port is what capture would make of it. */
export const ECHO_VIP: IpAddress = ip("10.231.9.1");
export const SINK_VIP: IpAddress = ip("10.231.9.2");
/** What the servers listen on. Answers from these ports stay in `b`, whoever the client says it is. */
export const ECHO_PORT = 6_001;
export const SINK_PORT = 6_002;
/** The same servers without that rule, for dials straight from `a`. */
export const DIRECT_ECHO_PORT = 6_101;
export const DIRECT_SINK_PORT = 6_102;

export type Side = "a" | "b";

export interface BenchNetwork {
  /** Paths of the namespaces. */
  readonly path: Readonly<Record<Side, string>>;
  readonly netns: Readonly<Record<Side, Netns>>;
  readonly congestionControl: string;
  close(): void;
}

/** The preferred one where namespaces may choose it, else reno, which always may. */
export const CONGESTION_CONTROLS: readonly string[] = ["cubic", "reno"];
const PREFIX = "ambit-bench";

/** `directory` is removed together with the namespaces; also when this throws. */
export function createBenchNetwork(wanted: string | undefined, directory: string): BenchNetwork {
  removeLeftovers();
  const name = { a: `${PREFIX}${process.pid}-a`, b: `${PREFIX}${process.pid}-b` };
  const janitor = startJanitor([name.a, name.b], directory);
  const removeNames = (): void => {
    deleteNamedNetns(name.a);
    deleteNamedNetns(name.b);
    janitor.stdin?.end();
  };
  try {
    return build(name, wanted, removeNames);
  } catch (error) {
    removeNames();
    throw error;
  }
}

function build(
  name: Readonly<Record<Side, string>>,
  wanted: string | undefined,
  removeNames: () => void,
): BenchNetwork {
  createNamedNetns(name.a);
  createNamedNetns(name.b);
  const path = { a: `/run/netns/${name.a}`, b: `/run/netns/${name.b}` };
  const netns = { a: openNetns(path.a), b: openNetns(path.b) };
  const close = (): void => {
    netns.a.close();
    netns.b.close();
    removeNames();
  };
  join(name.a, name.b);
  addAddresses(name);
  return { path, netns, congestionControl: tuneNamespaces([netns.a, netns.b], wanted), close };
}

/** Namespaces of runs whose process and janitor are both gone. */
function removeLeftovers(): void {
  if (!existsSync("/run/netns")) return;
  for (const name of readdirSync("/run/netns")) {
    const pid = new RegExp(`^${PREFIX}(\\d+)-[ab]$`).exec(name)?.[1];
    if (pid !== undefined && !existsSync(`/proc/${pid}`)) tryDelete(name);
  }
}

/** A name that another mount namespace still holds cannot be removed from here; it is in nobody's way. */
function tryDelete(name: string): void {
  try {
    deleteNamedNetns(name);
  } catch (error) {
    process.stderr.write(`bench: left ${name} alone: ${String(error)}\n`);
  }
}

function startJanitor(names: readonly string[], directory: string): ChildProcess {
  const deletions = names.map((name) => `ip netns delete ${name} 2>/dev/null`).join("; ");
  const script = `read -r _; ${deletions}; rm -rf "$1"`;
  const child = spawn("/bin/sh", ["-c", script, "janitor", directory], {
    stdio: ["pipe", "ignore", "ignore"],
    detached: true, // a Ctrl-C is for us, not for it
  });
  child.unref();
  return child;
}

function ipIn(netns: string, ...args: readonly string[]): void {
  execFileSync("ip", ["-n", netns, ...args], { stdio: "pipe", timeout: 10_000 });
}

function join(a: string, b: string): void {
  ipIn(a, "link", "add", "eth0", "type", "veth", "peer", "name", "eth0", "netns", b);
  for (const [name, address] of [
    [a, IP_A],
    [b, IP_B],
  ] as const) {
    ipIn(name, "link", "set", "lo", "up");
    ipIn(name, "address", "add", `${address}/24`, "dev", "eth0");
    ipIn(name, "link", "set", "eth0", "up");
  }
}

function addAddresses(name: Readonly<Record<Side, string>>): void {
  for (const vip of [ECHO_VIP, SINK_VIP]) ipIn(name.a, "address", "add", `${vip}/32`, "dev", "lo");
  // What capture does in a pod: answers to a client whose address ztunnel keeps go back to ztunnel.
  for (const port of [ECHO_PORT, SINK_PORT]) {
    const from = ["from", IP_B, "ipproto", "tcp", "sport", String(port)];
    ipIn(name.b, "rule", "add", "pref", "80", ...from, "lookup", "100");
  }
  ipIn(name.b, "route", "add", "local", "default", "dev", "lo", "table", "100");
}

/**
 * Fixes the congestion control (the first choice that a namespace may make; returned) and gives many short connections
 * enough ports: for every peer alike, and only inside.
 */
export function tuneNamespaces(namespaces: readonly Netns[], wanted: string | undefined): string {
  const choices = wanted === undefined ? CONGESTION_CONTROLS : [wanted];
  const chosen = choices.find((name) =>
    namespaces.every((netns) => trySetting(netns, "tcp_congestion_control", name)),
  );
  if (chosen === undefined)
    throw new Error(`congestion control ${choices.join(", ")} is not allowed in a namespace here`);
  for (const netns of namespaces) {
    trySetting(netns, "tcp_tw_reuse", "1");
    trySetting(netns, "ip_local_port_range", "32768 65535");
  }
  return chosen;
}

function trySetting(netns: Netns, name: string, value: string): boolean {
  return inNetns(netns, () => {
    const path = `/proc/sys/net/ipv4/${name}`;
    try {
      writeFileSync(path, value);
    } catch {
      return false; // the caller has another choice or can do without
    }
    return readFileSync(path, "utf8").trim().split(/\s+/).join(" ") === value;
  });
}
