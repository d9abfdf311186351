/** Runs one job of the load generator in a namespace and reports its two moments. */
import type { ChildProcess } from "node:child_process";
import { join } from "node:path";
import { LineReader, spawnIn, stopProcess } from "../system/spawn-in.ts";
import type { HttpJob } from "../l7/http-jobs.ts";
import type { LoadJob, LoadMessage, LoadResult } from "./messages.ts";

const PROGRAM = join(import.meta.dirname, "client-main.ts");
const START_MS = 30_000;
const END_MARGIN_MS = 20_000;

type AnyJob = LoadJob | HttpJob;

export interface LoadClientOptions {
  readonly program?: string;
  /** For `taskset`; all of them without. */
  readonly cores?: string;
}

export class LoadClient {
  readonly pid: number;
  readonly #child: ChildProcess;
  readonly #reader: LineReader<LoadMessage>;
  readonly #job: AnyJob;

  constructor(netns: string, job: AnyJob, { program = PROGRAM, cores }: LoadClientOptions = {}) {
    this.#job = job;
    const command = [process.execPath, program, JSON.stringify(job)];
    const [first = "", ...rest] = cores === undefined ? command : ["taskset", "-c", cores, ...command];
    this.#child = spawnIn({
      netns,
      command: first,
      args: rest,
      stdio: ["pipe", "pipe", "inherit"],
    });
    this.#reader = new LineReader(this.#child);
    this.pid = this.#child.pid ?? 0;
  }

  /** Resolves with the connections opened so far when the measured time begins. */
  async started(): Promise<number> {
    const warmup = "warmupSeconds" in this.#job ? this.#job.warmupSeconds * 1_000 : 0;
    const message = await this.#next(START_MS + warmup);
    if (message.event !== "start") throw new Error(`the load said ${message.event} before start`);
    return message.opened;
  }

  async ended(): Promise<LoadResult> {
    const seconds = "seconds" in this.#job ? this.#job.seconds : 0;
    const message = await this.#next(seconds * 1_000 + END_MARGIN_MS);
    if (message.event !== "end") throw new Error(`the load said ${message.event} before its end`);
    return message;
  }

  /** Lets an idle job close its connections. */
  release(): void {
    this.#child.stdin?.end();
  }

  stop(): Promise<void> {
    return stopProcess(this.#child);
  }

  async #next(timeoutMs: number): Promise<LoadMessage> {
    const message = await this.#reader.next(timeoutMs);
    if (message.event === "failed") throw new Error(`load (${this.#job.kind}): ${message.reason}`);
    return message;
  }
}
