/** A running application behind the proxies. */
import type { ChildProcess } from "node:child_process";
import { join } from "node:path";
import { LineReader, spawnIn, stopProcess } from "../system/spawn-in.ts";
import type { ServerCounters } from "./messages.ts";

const PROGRAM = join(import.meta.dirname, "server-main.ts");
const ANSWER_MS = 10_000;

export class LoadServer {
  readonly pid: number;
  readonly #child: ChildProcess;
  readonly #reader: LineReader<ServerCounters>;

  constructor(netns: string, role: "echo" | "sink", ports: readonly number[]) {
    this.#child = spawnIn({
      netns,
      command: process.execPath,
      args: [PROGRAM, role, ...ports.map(String)],
      stdio: ["pipe", "pipe", "inherit"],
    });
    this.#reader = new LineReader(this.#child);
    this.pid = this.#child.pid ?? 0;
  }

  /** Resolves when it listens. */
  async started(): Promise<void> {
    await this.#reader.next(ANSWER_MS);
  }

  counters(): Promise<ServerCounters> {
    this.#child.stdin?.write("\n");
    return this.#reader.next(ANSWER_MS);
  }

  stop(): Promise<void> {
    return stopProcess(this.#child);
  }
}
