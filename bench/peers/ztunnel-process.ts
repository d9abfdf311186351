/**
 * One ztunnel as it is installed: the bundle, the pinned Node with the deployment's flags, access log into a file,
 * metrics on. This program is its node agent: it announces one pod over the real protocol.
 */
import { type ChildProcess } from "node:child_process";
import { closeSync, openSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { deadline } from "#core/base/abort.ts";
import type { Netns } from "#core/linux/netns.ts";
import { listenSeqpacket, type SeqpacketConnection } from "#core/linux/unix-seqpacket.ts";
import { podUid } from "#core/model/ids.ts";
import { PROXY_NODE_FLAGS } from "#local/images.ts";
import { decodeZdsAck, encodeZdsRequest } from "#core/wire/zds-codec.ts";
import { spawnIn, stopProcess } from "../system/spawn-in.ts";
import { sumOfCounter } from "./metrics-text.ts";

const BUNDLE = join(import.meta.dirname, "../../.build/ztunnel.mjs");
const READY_MS = 20_000;
const POLL_MS = 25;

export interface ZtunnelOptions {
  /** Unique within the run; names its files. */
  readonly name: string;
  readonly node: string;
  readonly directory: string;
  readonly statePath: string;
  readonly caDirectory: string;
  readonly handles: "raw" | "public";
  readonly profilePath: string | undefined;
  /** Announced pod; none for an empty node. */
  readonly pod?: { readonly name: string; readonly namespace: string; readonly netns: Netns };
}

export interface ZtunnelProcess {
  readonly pid: number;
  /** Connections counted as opened, for the side that speaks. */
  openedConnections(reporter: "source" | "destination"): Promise<number>;
  stop(): Promise<void>;
}

/** Resolves when it is ready. */
export async function startZtunnel(options: ZtunnelOptions): Promise<ZtunnelProcess> {
  const logPath = join(options.directory, `${options.name}.log`);
  const socketPath = join(options.directory, `${options.name}.sock`);
  const { promise: announced, resolve, reject } = Promise.withResolvers<void>();
  announced.catch(() => undefined); // awaited below, or the process ended first
  const listener = listenSeqpacket({ path: socketPath }, (connection) => {
    announce(connection, options).then(resolve, reject);
  });
  const child = launch(options, logPath, socketPath);
  const stop = async (): Promise<void> => {
    listener.close();
    await stopProcess(child, 8_000);
  };
  try {
    const ports = await portsOf(child, logPath);
    await announced;
    await untilReady(ports.ready);
    return {
      pid: child.pid ?? 0,
      openedConnections: async (reporter) => {
        const response = await fetch(`http://127.0.0.1:${ports.stats}/stats/prometheus`);
        return sumOfCounter(await response.text(), "istio_tcp_connections_opened_total", { reporter });
      },
      stop,
    };
  } catch (error) {
    await stop();
    throw error;
  }
}

function launch(options: ZtunnelOptions, logPath: string, socketPath: string): ChildProcess {
  const log = openSync(logPath, "w");
  const child = spawnIn({
    command: process.execPath,
    args: [...PROXY_NODE_FLAGS, ...profileArguments(options), BUNDLE],
    env: {
      NODE_NAME: options.node,
      POD_NAME: `ztunnel-${options.name}`,
      AMBIT_LOCAL_STATE: options.statePath,
      AMBIT_FILE_CA: options.caDirectory,
      AMBIT_HANDLES: options.handles,
      INPOD_UDS: socketPath,
      ADMIN_PORT: "0",
      STATS_PORT: "0",
      READINESS_PORT: "0",
    },
    stdio: ["ignore", "ignore", log],
  });
  closeSync(log);
  return child;
}

function profileArguments({ profilePath, name }: ZtunnelOptions): readonly string[] {
  if (profilePath === undefined) return [];
  return ["--cpu-prof", `--cpu-prof-dir=${profilePath}`, `--cpu-prof-name=${name}-${Date.now()}.cpuprofile`];
}

/** The agent's side of the protocol: hello, the pod, end of the snapshot. The connection stays open. */
async function announce(connection: SeqpacketConnection, { pod }: ZtunnelOptions): Promise<void> {
  await connection.receive(deadline(READY_MS));
  if (pod !== undefined) {
    const { name, namespace, netns } = pod;
    const workload = { name, namespace, serviceAccount: name };
    await connection.send(encodeZdsRequest({ kind: "add", uid: podUid(`uid-${name}`), workload }), [
      netns.fd,
    ]);
    await acknowledged(connection);
  }
  await connection.send(encodeZdsRequest({ kind: "snapshot-sent" }));
  await acknowledged(connection);
}

async function acknowledged(connection: SeqpacketConnection): Promise<void> {
  const message = await connection.receive(deadline(READY_MS));
  const ack = message === undefined ? undefined : decodeZdsAck(message.bytes);
  if (ack?.ok !== true) throw new Error("ztunnel did not answer its agent");
  if (ack.value.error !== "") throw new Error(`ztunnel refused the pod: ${ack.value.error}`);
}

interface Ports {
  readonly stats: number;
  readonly ready: number;
}

/** It logs the ports that it got. */
async function portsOf(child: ChildProcess, logPath: string): Promise<Ports> {
  for (let waited = 0; waited < READY_MS; waited += POLL_MS) {
    const text = readFileSync(logPath, "utf8");
    const line = text.split("\n").find((candidate) => candidate.includes('"ztunnel started"'));
    if (line !== undefined) return JSON.parse(line) as Ports;
    if (child.exitCode !== null) throw new Error(`ztunnel ended at once: ${text.slice(-600)}`);
    await sleep(POLL_MS);
  }
  throw new Error("ztunnel did not start in time");
}

async function untilReady(port: number): Promise<void> {
  for (let waited = 0; waited < READY_MS; waited += POLL_MS) {
    const response = await fetch(`http://127.0.0.1:${port}/healthz/ready`).catch(() => undefined);
    if (response?.status === 200) return;
    await sleep(POLL_MS);
  }
  throw new Error("ztunnel did not become ready in time");
}
