/**
 * Two network namespaces joined by a veth pair, and applications inside them. Names carry this process's id; those of
 * dead processes are removed first.
 */
import { execFileSync } from "node:child_process";
import { existsSync, readdirSync } from "node:fs";
import { after } from "node:test";
import { chooseBackend } from "#core/handle/choose-handle.ts";
import type { Handle } from "#core/handle/handle.ts";
import type { HandleBackend } from "#core/handle/handle-backend.ts";
import { createNamedNetns, deleteNamedNetns, type Netns, openNetns } from "#core/linux/netns.ts";
import { tcpListenerFd, tcpSocketFd } from "#core/linux/tcp-socket.ts";
import { type IpAddress, ip } from "#core/net/ip.ts";
import { EnvReader } from "#core/runtime/env.ts";

const isRoot = process.getuid?.() === 0;
if (
  !isRoot &&
  new EnvReader().boolean("AMBIT_REQUIRE_ROOT", { default: false, help: "fail instead of skipping" })
)
  throw new Error("AMBIT_REQUIRE_ROOT=1, but not root");
export const skip: false | string = isRoot
  ? false
  : "needs root: network namespaces, marks and transparent sockets";

const NAMES: readonly [string, string] = [`ambit-zt-${process.pid}-a`, `ambit-zt-${process.pid}-b`];
export const A: IpAddress = ip("10.231.0.1");
export const B: IpAddress = ip("10.231.0.2");
export const VIP: IpAddress = ip("10.231.9.9");
export const APP_PORT = 8080;
after(() => NAMES.forEach((name) => isRoot && deleteNamedNetns(name)));
if (isRoot) removeLeftovers();

/** Namespaces of runs of this test that were killed. */
function removeLeftovers(): void {
  if (!existsSync("/run/netns")) return;
  for (const name of readdirSync("/run/netns")) {
    const pid = /^ambit-zt-(\d+)-[ab]$/.exec(name)?.[1];
    if (pid !== undefined && !existsSync(`/proc/${pid}`)) deleteNamedNetns(name);
  }
}

function command(netns: string, ...args: readonly string[]): void {
  execFileSync("ip", ["-n", netns, ...args], { stdio: "pipe", timeout: 10_000 });
}

/** A and B with one link; VIP is local in A, so that a dial to VIP:15001 is what capture would make of it. */
export function makeNetwork(): readonly [Netns, Netns] {
  const [a, b] = NAMES;
  for (const name of NAMES) createNamedNetns(name);
  command(a, "link", "add", "eth0", "type", "veth", "peer", "name", "eth0", "netns", b);
  for (const [name, address] of [
    [a, A],
    [b, B],
  ] as const) {
    command(name, "link", "set", "lo", "up");
    command(name, "addr", "add", `${address}/24`, "dev", "eth0");
    command(name, "link", "set", "eth0", "up");
  }
  command(a, "addr", "add", `${VIP}/32`, "dev", "lo");
  // What capture's programs do: answers of the application to a spoofed client stay in the pod.
  command(
    b,
    "rule",
    "add",
    "pref",
    "80",
    "from",
    B,
    "ipproto",
    "tcp",
    "sport",
    String(APP_PORT),
    "lookup",
    "100",
  );
  command(b, "route", "add", "local", "default", "dev", "lo", "table", "100");
  return [openNetns(`/run/netns/${a}`), openNetns(`/run/netns/${b}`)];
}

export interface AppClient {
  readonly handle: Handle;
  received: string;
  ended: boolean;
  closed: Error | true | undefined;
}

export const backend: HandleBackend = chooseBackend();

export async function dial(netns: Netns, address: IpAddress, port: number): Promise<AppClient> {
  const fd = tcpSocketFd({ netns, family: 4 });
  const handle = await backend.connectFd(fd, { ip: address, port }, 5_000);
  const app: AppClient = { handle, received: "", ended: false, closed: undefined };
  handle.start({
    onData: (bytes) => void (app.received += Buffer.from(bytes).toString("latin1")),
    onEnd: () => void (app.ended = true),
    onDrain: () => undefined,
    onClose: (error) => void (app.closed = error ?? true),
  });
  return app;
}

export interface EchoApp {
  readonly clients: readonly string[];
  readonly close: () => void;
}

export function echo(netns: Netns): EchoApp {
  const clients: string[] = [];
  const listener = backend.listenFd(tcpListenerFd({ netns, port: APP_PORT, backlog: 16 }), 16, (handle) => {
    clients.push(handle.remote.ip);
    handle.start({
      onData: (bytes) => void handle.write(Uint8Array.from(bytes)),
      onEnd: () => handle.shutdown(),
      onDrain: () => undefined,
      onClose: () => undefined,
    });
  });
  return { clients, close: () => listener.close() };
}

export function removeNetwork(): void {
  NAMES.forEach(deleteNamedNetns);
}
