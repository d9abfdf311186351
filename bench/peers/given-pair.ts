/**
 * Any two programs, given by path. They are started without arguments, A inside namespace a, B inside namespace b, and
 * find in the environment what to do: AMBIT_BENCH_SIDE (a or b), AMBIT_BENCH_LISTEN_ECHO, AMBIT_BENCH_CONNECT_ECHO,
 * AMBIT_BENCH_LISTEN_SINK, AMBIT_BENCH_CONNECT_SINK (ip:port each), AMBIT_BENCH_CERT, AMBIT_BENCH_KEY, AMBIT_BENCH_CA
 * (PEM files) and AMBIT_BENCH_SERVER_NAME. A speaks TLS to B; both must run until SIGTERM.
 */
import { closeSync, openSync } from "node:fs";
import { basename, join, resolve } from "node:path";
import { ECHO_PORT, IP_A, IP_B, SINK_PORT } from "../network/bench-network.ts";
import { spawnIn, stopProcess } from "../system/spawn-in.ts";
import type { Peer, PeerContext, RunningPeer } from "./peer.ts";

export function givenPair(pathA: string, pathB: string): Peer {
  return {
    name: "given",
    facts: {
      version: `${basename(pathA)} / ${basename(pathB)}`,
      tlsLibrary: "unknown",
      origin: "given by path",
      cipherGibPerSecond: undefined,
      cipherMethod: "-",
      setting: "as the programs choose",
    },
    start: (context) => Promise.resolve(start(context, resolve(pathA), resolve(pathB))),
  };
}

function start(context: PeerContext, pathA: string, pathB: string): RunningPeer {
  const { network, directory, certificates } = context;
  const run = (side: "a" | "b", command: string): ReturnType<typeof spawnIn> => {
    const log = openSync(join(directory, `given-${side}.log`), "a");
    const child = spawnIn({
      netns: network.path[side],
      command,
      args: [],
      env: environment(context, side),
      stdio: ["ignore", log, log],
    });
    closeSync(log);
    return child;
  };
  const b = run("b", pathB);
  const a = run("a", pathA);
  const { certificatePath, keyPath } = certificates.a;
  return {
    a: [a.pid ?? 0],
    b: [b.pid ?? 0],
    echo: { ip: IP_A, port: 7_001 },
    sink: { ip: IP_A, port: 7_002 },
    tls: { ip: IP_B, port: 7_101, certificatePath, keyPath, alpn: undefined },
    stop: async () => {
      await Promise.all([stopProcess(a), stopProcess(b)]);
    },
  };
}

function environment({ certificates }: PeerContext, side: "a" | "b"): Readonly<Record<string, string>> {
  const isA = side === "a";
  return {
    AMBIT_BENCH_SIDE: side,
    AMBIT_BENCH_LISTEN_ECHO: isA ? `${IP_A}:7001` : `${IP_B}:7101`,
    AMBIT_BENCH_LISTEN_SINK: isA ? `${IP_A}:7002` : `${IP_B}:7102`,
    AMBIT_BENCH_CONNECT_ECHO: isA ? `${IP_B}:7101` : `${IP_B}:${ECHO_PORT}`,
    AMBIT_BENCH_CONNECT_SINK: isA ? `${IP_B}:7102` : `${IP_B}:${SINK_PORT}`,
    AMBIT_BENCH_CERT: certificates[side].certificatePath,
    AMBIT_BENCH_KEY: certificates[side].keyPath,
    AMBIT_BENCH_CA: certificates.caPath,
    AMBIT_BENCH_SERVER_NAME: certificates.serverName,
  };
}
