/**
 * An application with sockets of many kinds, in a process of its own so that it can die. It connects them all, says
 * what it got, writes when told, and keeps everything open until it is killed. Arguments: JSON options.
 * Descriptors 4 and 5, when given, are sockets made before this process existed.
 */
import { closeSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { check, errno, libc } from "#core/linux/libc.ts";
import { inNetns, openNetns, type Netns } from "#core/linux/netns.ts";
import { encodeSocketAddress } from "#core/linux/socket-encoding.ts";
import { resetOnClose, setSocketOption } from "#core/linux/socket-options.ts";
import { errnoName } from "#core/linux/system-call-error.ts";
import { localAddress, remoteAddress, startConnect } from "#core/linux/tcp-socket.ts";
import { ip } from "#core/net/ip.ts";

export const KINDS = [
  "plain",
  "fast-open",
  "mptcp",
  "inherited",
  "reuse-port",
  "full-queue",
  "half-closed",
  "linger-0",
] as const;

export type SocketKind = (typeof KINDS)[number];

export interface AppOptions {
  readonly netnsName: string;
  readonly hosts: readonly string[];
  readonly port: number;
}

export interface KindReport {
  readonly kind: SocketKind;
  readonly host: string;
  /** `ok`, `unsupported`, or the errno. */
  readonly result: string;
}

const AF = { 4: 2, 6: 10 } as const;
const STREAM_NONBLOCK = 1 | 0o4000 | 0o2000000;
const IPPROTO_MPTCP = 262;
const MSG_FASTOPEN = 0x2000_0000;
const MSG_NOSIGNAL = 0x4000;
const SHUT_WR = 1;

interface AppSocket {
  readonly kind: SocketKind;
  readonly host: string;
  readonly fd: number;
}

const sockets: AppSocket[] = [];

async function main(): Promise<void> {
  const options = JSON.parse(process.argv[2] ?? "{}") as AppOptions;
  const netns = openNetns(`/run/netns/${options.netnsName}`);
  const reports = options.hosts.flatMap((host) => KINDS.map((kind) => open(netns, options, host, kind)));
  const opened = await Promise.all(reports);
  process.on("disconnect", () => process.exit(0));
  process.on("message", () => void writeAll().then((written) => process.send?.(written)));
  process.send?.(opened);
}

/** Connects and asks one question. */
async function open(netns: Netns, options: AppOptions, host: string, kind: SocketKind): Promise<KindReport> {
  const fd = makeSocket(netns, host, kind);
  if (fd === undefined) return { kind, host, result: "unsupported" };
  if (kind === "reuse-port") {
    setSocketOption(fd, "SO_REUSEPORT", 1);
    const any = encodeSocketAddress({ ip: ip(host.includes(":") ? "::" : "0.0.0.0"), port: 0 });
    check(libc().bind(fd, any, any.length), "bind");
  }
  const question = Buffer.from("HELLO-CLEAR");
  const destination = { ip: ip(host), port: options.port };
  if (kind === "fast-open") {
    const address = encodeSocketAddress(destination);
    libc().sendto(fd, question, question.length, MSG_FASTOPEN | MSG_NOSIGNAL, address, address.length);
  } else {
    startConnect(fd, destination);
  }
  await until(() => remoteAddress(fd) !== undefined);
  if (kind !== "fast-open") libc().send(fd, question, question.length, MSG_NOSIGNAL);
  const reply = Buffer.alloc(64);
  let length = -1;
  await until(() => (length = libc().recv(fd, reply, reply.length, 0)) >= 0);
  sockets.push({ kind, host, fd });
  if (kind === "half-closed") libc().shutdown(fd, SHUT_WR);
  const text = reply.toString("latin1", 0, Math.max(0, length));
  return {
    kind,
    host,
    result: text === "e:HELLO-CLEAR" && localAddress(fd) !== undefined ? "ok" : `got "${text}"`,
  };
}

function makeSocket(netns: Netns, host: string, kind: SocketKind): number | undefined {
  const family = host.includes(":") ? 6 : 4;
  if (kind === "inherited") return family === 4 ? 4 : 5;
  const protocol = kind === "mptcp" ? IPPROTO_MPTCP : 0;
  const fd = inNetns(netns, () => libc().socket(AF[family], STREAM_NONBLOCK, protocol));
  return fd < 0 ? undefined : fd;
}

/** Writes a secret on every socket, twice; the second try shows what the first one met. */
async function writeAll(): Promise<readonly KindReport[]> {
  const reports: KindReport[] = [];
  for (const { kind, host, fd } of sockets) {
    if (kind === "half-closed") continue;
    if (kind === "linger-0") {
      resetOnClose(fd);
      closeSync(fd);
      continue;
    }
    const secret = Buffer.from("SECRET-CLEAR".repeat(kind === "full-queue" ? 20_000 : 1));
    let result = "ok";
    for (let round = 0; round < 3; round++) {
      if (libc().send(fd, secret, secret.length, MSG_NOSIGNAL) < 0) result = errnoName(errno());
      await sleep(100);
    }
    reports.push({ kind, host, result });
  }
  return reports;
}

async function until(done: () => boolean): Promise<void> {
  for (let i = 0; i < 500 && !done(); i++) await sleep(10);
}

await main();
