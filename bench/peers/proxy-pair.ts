/** A pair of ordinary proxies: how each is started, and what they say about themselves. */
import { type ChildProcess, execFileSync } from "node:child_process";
import { closeSync, openSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { ECHO_PORT, IP_A, IP_B, SINK_PORT } from "../network/bench-network.ts";
import { spawnIn, stopProcess } from "../system/spawn-in.ts";
import { opensslSpeed } from "./cipher-speed.ts";
import type { PeerRoot, Program } from "./debian-root.ts";
import type { Peer, PeerContext, RunningPeer } from "./peer.ts";
import {
  type Forward,
  haproxyConfig,
  nginxConfig,
  type SideOptions,
  stunnelConfig,
} from "./proxy-configs.ts";

const A_PORTS = { echo: 7_001, sink: 7_002 } as const;
const B_PORTS = { echo: 7_101, sink: 7_102 } as const;
/** A proxy that ends this soon did not start. */
const SETTLE_MS = 300;

interface ProxyKind {
  readonly name: string;
  readonly program: string;
  readonly versionArgs: readonly string[];
  readonly versionPattern: RegExp;
  readonly tlsPattern: RegExp;
  config(options: SideOptions, root: PeerRoot, directory: string): string;
  args(configPath: string, directory: string): readonly string[];
}

const KINDS: readonly ProxyKind[] = [
  {
    name: "haproxy",
    program: "usr/sbin/haproxy",
    versionArgs: ["-vv"],
    versionPattern: /version (\S+)/i,
    tlsPattern: /Running on OpenSSL version : (.+)/,
    config: haproxyConfig,
    args: (path) => ["-db", "-f", path],
  },
  {
    name: "nginx",
    program: "usr/sbin/nginx",
    versionArgs: ["-V"],
    versionPattern: /nginx\/(\S+)/,
    tlsPattern: /(?:.*running with|built with) (OpenSSL [^)\n]+)/,
    config: (options, root, directory) =>
      nginxConfig({
        ...options,
        directory,
        modulePath: root.file("usr/lib/nginx/modules/ngx_stream_module.so"),
      }),
    args: (path, directory) => ["-p", directory, "-e", join(directory, "nginx.err"), "-c", path],
  },
  {
    name: "stunnel",
    program: "usr/bin/stunnel4",
    versionArgs: ["-version"],
    versionPattern: /stunnel (\S+)/,
    tlsPattern: /(?:Running {2}with|Compiled\/running with|Running with) (OpenSSL.+)/,
    config: stunnelConfig,
    args: (path) => [path],
  },
];

/** Those of the reference proxies that this root has. */
export function proxyPairs(root: PeerRoot): readonly Peer[] {
  const openssl = root.program("usr/bin/openssl");
  const speed = openssl === undefined ? undefined : opensslSpeed(openssl);
  return KINDS.flatMap((kind) => {
    const program = root.program(kind.program);
    return program === undefined ? [] : [proxyPair(kind, program, root, speed)];
  });
}

function proxyPair(kind: ProxyKind, program: Program, root: PeerRoot, speed: number | undefined): Peer {
  const about = versionText(program, kind.versionArgs);
  const library = kind.tlsPattern.exec(about)?.[1]?.trim() ?? "unknown";
  return {
    name: kind.name,
    facts: {
      version: kind.versionPattern.exec(about)?.[1] ?? "unknown",
      tlsLibrary: library,
      origin: root.origin,
      cipherGibPerSecond: speed,
      cipherMethod: "openssl speed of the same library",
      setting: "one thread a side, connection log on",
    },
    start: (context) => startPair(kind, program, root, context),
  };
}

function versionText({ command, args, env }: Program, versionArgs: readonly string[]): string {
  const merged = ["-c", 'exec "$@" 2>&1', "sh", command, ...args, ...versionArgs];
  return execFileSync("/bin/sh", merged, { env, encoding: "utf8", timeout: 10_000 });
}

async function startPair(
  kind: ProxyKind,
  program: Program,
  root: PeerRoot,
  context: PeerContext,
): Promise<RunningPeer> {
  const children: ChildProcess[] = [];
  const stop = async (): Promise<void> => {
    await Promise.all(children.map((child) => stopProcess(child)));
  };
  try {
    for (const side of ["b", "a"] as const) children.push(startSide(kind, program, root, context, side));
    await sleep(SETTLE_MS);
    for (const child of children) {
      if (child.exitCode !== null)
        throw new Error(`${kind.name} ended at once: ${logTail(context, kind.name)}`);
    }
  } catch (error) {
    await stop();
    throw error;
  }
  const { certificatePath, keyPath } = context.certificates.a;
  return {
    b: [children[0]?.pid ?? 0],
    a: [children[1]?.pid ?? 0],
    echo: { ip: IP_A, port: A_PORTS.echo },
    sink: { ip: IP_A, port: A_PORTS.sink },
    tls: { ip: IP_B, port: B_PORTS.echo, certificatePath, keyPath, alpn: undefined },
    stop,
  };
}

function startSide(
  kind: ProxyKind,
  program: Program,
  root: PeerRoot,
  context: PeerContext,
  side: "a" | "b",
): ChildProcess {
  const { network, directory, certificates } = context;
  const logPath = join(directory, `${kind.name}-${side}.log`);
  const configPath = join(directory, `${kind.name}-${side}.conf`);
  const options = {
    side,
    forwards: forwardsOf(side),
    certificate: certificates[side],
    caPath: certificates.caPath,
    serverName: certificates.serverName,
    logPath,
  };
  writeFileSync(configPath, kind.config(options, root, directory));
  const log = openSync(logPath, "a");
  const child = spawnIn({
    netns: network.path[side],
    command: program.command,
    args: [...program.args, ...kind.args(configPath, directory)],
    env: program.env,
    stdio: ["ignore", log, log],
  });
  closeSync(log);
  return child;
}

function forwardsOf(side: "a" | "b"): readonly Forward[] {
  const servers = { echo: ECHO_PORT, sink: SINK_PORT };
  return (["echo", "sink"] as const).map((name) =>
    side === "a"
      ? { name, listen: `${IP_A}:${A_PORTS[name]}`, connect: `${IP_B}:${B_PORTS[name]}` }
      : { name, listen: `${IP_B}:${B_PORTS[name]}`, connect: `${IP_B}:${servers[name]}` },
  );
}

function logTail({ directory }: PeerContext, name: string): string {
  const texts = ["a", "b"].map((side) => readFileSync(join(directory, `${name}-${side}.log`), "utf8"));
  return texts.join("\n").trim().split("\n").slice(-6).join(" | ");
}
