/** Starts the application of many sockets (app-main.ts). */
import { type ChildProcess, fork } from "node:child_process";
import { closeSync } from "node:fs";
import { once } from "node:events";
import { join } from "node:path";
import { tcpSocketFd } from "#core/linux/tcp-socket.ts";
import type { AppOptions, KindReport } from "./app-main.ts";
import type { Pod, Topology } from "./topology.ts";

export interface App {
  /** What each socket got when it connected. */
  readonly opened: readonly KindReport[];
  /** Writes a secret on every socket. */
  write(): Promise<readonly KindReport[]>;
  kill(): Promise<void>;
}

export async function startApp(
  topology: Topology,
  pod: Pod,
  hosts: readonly string[],
  port: number,
): Promise<App> {
  const options: AppOptions = { netnsName: topology.netnsName(pod.name), hosts, port };
  const inherited = [
    tcpSocketFd({ netns: pod.netns, family: 4 }),
    tcpSocketFd({ netns: pod.netns, family: 6 }),
  ];
  const child = fork(join(import.meta.dirname, "app-main.ts"), [JSON.stringify(options)], {
    execArgv: [],
    stdio: ["ignore", "inherit", "inherit", "ipc", ...inherited],
  });
  for (const fd of inherited) closeSync(fd);
  const opened = await answer(child);
  return {
    opened,
    write: () => {
      child.send("write");
      return answer(child);
    },
    kill: async () => {
      if (child.exitCode !== null || child.signalCode !== null) return;
      const gone = once(child, "exit");
      child.kill("SIGKILL");
      await gone;
    },
  };
}

async function answer(child: ChildProcess): Promise<readonly KindReport[]> {
  const [message] = (await once(child, "message", { signal: AbortSignal.timeout(20_000) })) as [
    readonly KindReport[],
  ];
  return message;
}
