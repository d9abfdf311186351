/**
 * Hands inside a pod: one Node process in a container, told what to do over `exec`. A function is sent as its source text,
 * so it must use nothing but its arguments; the first one is the hands' own world.
 */
import { PassThrough } from "node:stream";
import { Exec, KubeConfig, type V1Status } from "@kubernetes/client-node";
import type * as Net from "node:net";
import type * as Http from "node:http";
import type * as Http2 from "node:http2";
import type * as Tls from "node:tls";
import type * as Fs from "node:fs";
import type * as Os from "node:os";
import type { PodName } from "./pod-exec.ts";

/** What functions find in the pod; sockets and servers stay from one call to the next. */
export interface Hands {
  readonly net: typeof Net;
  readonly http: typeof Http;
  readonly http2: typeof Http2;
  readonly tls: typeof Tls;
  readonly fs: typeof Fs;
  readonly os: typeof Os;
  readonly sockets: Record<string, Net.Socket>;
  readonly servers: Record<string, Net.Server>;
  /** Calls that go on. */
  readonly calls: Record<string, { cancel(): void; say?(text: string): void }>;
  /** Free for use, such as peers that a server has seen. */
  readonly notes: Record<string, string[]>;
  /** A bundle of `tools/bundles.ts`, as a module. */
  load(bundle: string): Promise<unknown>;
  sleep(ms: number): Promise<void>;
}

/** The program in the pod. Errors travel as their code (or message). */
const PROGRAM = `
import net from "node:net"; import http from "node:http"; import http2 from "node:http2"; import tls from "node:tls"; import fs from "node:fs"; import os from "node:os";
import { createInterface } from "node:readline"; import { setTimeout as sleep } from "node:timers/promises";
const load = (bundle) => import("/opt/ambit/lib/" + bundle + ".mjs");
const world = { net, http, http2, tls, fs, os, sockets: {}, servers: {}, calls: {}, notes: {}, load, sleep };
process.on("uncaughtException", (e) => process.stderr.write("uncaught " + e.stack + "\\n"));
const say = (o) => process.stdout.write(JSON.stringify(o) + "\\n");
for await (const line of createInterface({ input: process.stdin })) {
  const { id, source, args } = JSON.parse(line);
  (async () => (0, eval)("(" + source + ")")(world, ...args))().then(
    (value) => say({ id, value: value ?? null }), (e) => say({ id, code: e.code ?? "", error: String(e.message) }));
}
process.exit(0);
`;

const NODE = "/opt/ambit/node/bin/node";

/** A failure inside the pod; \`code\` is the system's, such as ECONNREFUSED. */
export class InPodError extends Error {
  readonly code: string;
  constructor(code: string, message: string) {
    super(message);
    this.code = code;
  }
}

interface Answer {
  readonly id?: number;
  readonly value?: unknown;
  readonly code?: string;
  readonly error?: string;
}

export class PodHands {
  readonly pod: PodName;
  readonly #input = new PassThrough();
  readonly #waiting = new Map<number, { resolve(value: unknown): void; reject(error: Error): void }>();
  #next = 1;
  #errors = "";
  #ended: Error | undefined;
  #close: () => void = () => undefined;

  private constructor(pod: PodName) {
    this.pod = pod;
  }

  static async open(kubeconfigPath: string, pod: PodName): Promise<PodHands> {
    const hands = new PodHands(pod);
    await hands.#start(kubeconfigPath);
    await hands.run(() => true);
    return hands;
  }

  /** Runs `work` in the pod; its result travels as JSON. Rejects with `InPodError`, also after `timeoutMs`. */
  run<T, A extends readonly unknown[]>(
    work: (world: Hands, ...args: A) => T | Promise<T>,
    ...args: A
  ): Promise<T> {
    return this.runFor(20_000, work, ...args);
  }

  async runFor<T, A extends readonly unknown[]>(
    timeoutMs: number,
    work: (world: Hands, ...args: A) => T | Promise<T>,
    ...args: A
  ): Promise<T> {
    if (this.#ended !== undefined) throw this.#ended;
    const id = this.#next++;
    const { promise, resolve, reject } = Promise.withResolvers<unknown>();
    this.#waiting.set(id, { resolve, reject });
    this.#input.write(`${JSON.stringify({ id, source: work.toString(), args })}\n`);
    const timer = setTimeout(
      () =>
        reject(
          new InPodError("TIMEOUT", `${this.pod.name}: no answer after ${timeoutMs} ms ${this.#errors}`),
        ),
      timeoutMs,
    );
    try {
      return (await promise) as T;
    } finally {
      clearTimeout(timer);
      this.#waiting.delete(id);
    }
  }

  close(): void {
    this.#end(new Error(`${this.pod.name}: hands were closed`));
    this.#input.end();
    this.#close();
  }

  async #start(kubeconfigPath: string): Promise<void> {
    const config = new KubeConfig();
    config.loadFromFile(kubeconfigPath);
    const [output, errors] = [new PassThrough(), new PassThrough()];
    errors.on("data", (chunk: Buffer) => (this.#errors = (this.#errors + chunk.toString()).slice(-2_000)));
    let rest = "";
    output.on("data", (chunk: Buffer) => {
      const lines = (rest + chunk.toString("utf8")).split("\n");
      rest = lines.pop() ?? "";
      for (const line of lines) this.#answer(line);
    });
    const { namespace, name, container } = this.pod;
    const command = [NODE, "--input-type=module", "-e", PROGRAM];
    const onStatus = (status: V1Status): void =>
      this.#end(new InPodError("ENDED", `${name}: ${status.message ?? "ended"} ${this.#errors}`));
    const socket = await new Exec(config).exec(
      namespace,
      name,
      container,
      command,
      output,
      errors,
      this.#input,
      false,
      onStatus,
    );
    socket.onclose = () => this.#end(new InPodError("ENDED", `${name}: connection ended ${this.#errors}`));
    socket.onerror = () => undefined;
    this.#close = () => socket.close();
  }

  #answer(line: string): void {
    const answer = JSON.parse(line) as Answer;
    const waiting = this.#waiting.get(answer.id ?? 0);
    if (answer.error === undefined) waiting?.resolve(answer.value);
    else waiting?.reject(new InPodError(answer.code ?? "", `${this.pod.name}: ${answer.error}`));
  }

  #end(error: Error): void {
    this.#ended ??= error;
    for (const { reject } of this.#waiting.values()) reject(this.#ended);
  }
}
