/** Child processes of a run: inside a namespace, dead as soon as this process is, one JSON message a line. */
import { type ChildProcess, spawn, type StdioOptions } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";

export interface SpawnOptions {
  /** Path of the network namespace; this process's own without. */
  readonly netns?: string;
  readonly command: string;
  readonly args: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  readonly stdio: StdioOptions;
  readonly cwd?: string;
}

/** The child's pid is that of the command itself: the helpers before it replace themselves. */
export function spawnIn(options: SpawnOptions): ChildProcess {
  const { netns, command, args, env = {}, stdio, cwd } = options;
  const enter = netns === undefined ? [] : ["nsenter", `--net=${netns}`];
  const [first = command, ...rest] = [...enter, "setpriv", "--pdeathsig", "KILL", command, ...args];
  return spawn(first, rest, { stdio, env: { PATH: "/usr/sbin:/usr/bin:/sbin:/bin", ...env }, cwd });
}

/** Asks politely, then not. Resolves when the process is gone. */
export async function stopProcess(child: ChildProcess, graceMs = 2_000): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null || child.pid === undefined) return;
  const gone = once(child, "exit");
  child.kill("SIGTERM");
  const timer = setTimeout(() => child.kill("SIGKILL"), graceMs);
  await gone;
  clearTimeout(timer);
}

/** Messages from a child's standard output, in order. */
export class LineReader<T> {
  readonly #child: ChildProcess;
  readonly #ready: T[] = [];
  #wanted: { readonly resolve: (value: T) => void; readonly reject: (error: Error) => void } | undefined;
  #ended = false;

  constructor(child: ChildProcess) {
    this.#child = child;
    if (child.stdout === null) throw new Error("the child's standard output is not a pipe");
    const lines = createInterface({ input: child.stdout });
    lines.on("line", (line) => this.#take(JSON.parse(line) as T));
    lines.on("close", () => this.#end());
  }

  /** The next message; rejects when the child ends first or nothing comes within `timeoutMs`. */
  async next(timeoutMs: number): Promise<T> {
    const message = this.#ready.shift();
    if (message !== undefined) return message;
    if (this.#ended) throw new Error("the program ended without an answer");
    const { promise, resolve, reject } = Promise.withResolvers<T>();
    this.#wanted = { resolve, reject };
    const timer = setTimeout(() => reject(new Error(`no answer within ${timeoutMs} ms`)), timeoutMs);
    try {
      return await promise;
    } finally {
      clearTimeout(timer);
      this.#wanted = undefined;
    }
  }

  get pid(): number {
    return this.#child.pid ?? 0;
  }

  #take(message: T): void {
    if (this.#wanted === undefined) this.#ready.push(message);
    else this.#wanted.resolve(message);
  }

  #end(): void {
    this.#ended = true;
    this.#wanted?.reject(new Error("the program ended without an answer"));
  }
}
