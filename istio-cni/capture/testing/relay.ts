/** Starts and commands the relay that stands in for ztunnel. */
import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import type { Pod, Topology } from "./topology.ts";
import type { RelayOptions } from "./relay-main.ts";

export interface RelayCounts {
  readonly outbound: number;
  readonly inbound: number;
  readonly hbone: number;
}

export interface Relay {
  readonly pid: number;
  counts(): Promise<RelayCounts>;
  stopListening(): Promise<void>;
  /** SIGKILL, and waits for the end. */
  kill(): Promise<void>;
}

export async function startRelay(
  topology: Topology,
  pods: readonly Pod[],
  options: Omit<RelayOptions, "netnsNames"> = {},
): Promise<Relay> {
  const netnsNames = pods.map((pod) => topology.netnsName(pod.name));
  const child = fork(
    join(import.meta.dirname, "relay-main.ts"),
    [JSON.stringify({ netnsNames, ...options })],
    {
      execArgv: [],
      stdio: ["ignore", "inherit", "inherit", "ipc"],
    },
  );
  await answer(child);
  return {
    pid: child.pid ?? 0,
    counts: async () => {
      child.send("counts");
      return (await answer(child)) as RelayCounts;
    },
    stopListening: async () => {
      child.send("stop-listening");
      await answer(child);
    },
    kill: async () => {
      if (child.exitCode !== null || child.signalCode !== null) return;
      const gone = once(child, "exit");
      child.kill("SIGKILL");
      await gone;
    },
  };
}

async function answer(child: ChildProcess): Promise<unknown> {
  const signal = AbortSignal.timeout(20_000);
  const [message] = (await Promise.race([
    once(child, "message", { signal }),
    once(child, "exit", { signal }).then(() => {
      throw new Error("the relay ended");
    }),
  ])) as [unknown];
  return message;
}
