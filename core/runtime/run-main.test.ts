/** The frame of every daemon, in processes of its own. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { test } from "node:test";
import { pathToFileURL } from "node:url";
import { join } from "node:path";
import { coreDumpsPossible } from "./core-dumps.ts";

const url = (name: string): string => pathToFileURL(join(import.meta.dirname, name)).href;
const PROGRAM = (start: string): string => `
  import { runMain } from ${JSON.stringify(url("run-main.ts"))};
  import { createLog } from ${JSON.stringify(url("log.ts"))};
  await runMain(createLog("test", { level: "info" }).root, async () => { ${start} });`;

interface Ended {
  readonly code: number | null;
  readonly lines: readonly Readonly<Record<string, unknown>>[];
}

/** Runs `start` as a daemon under a core limit; `signals` are sent when it says that it runs. */
async function daemon(start: string, signals: readonly NodeJS.Signals[] = [], core = "0"): Promise<Ended> {
  const command = [process.execPath, "--disable-sigusr1", "--input-type=module", "-e", PROGRAM(start)];
  const child = spawn("/bin/sh", ["-c", `ulimit -c ${core}; exec "$@"`, "sh", ...command], {
    stdio: ["ignore", "pipe", "pipe"],
  });
  let text = "";
  child.stderr.setEncoding("utf8").on("data", (chunk: string) => (text += chunk));
  child.stdout.once("data", () => {
    for (const signal of signals) child.kill(signal);
  });
  const [code] = (await once(child, "close")) as [number | null];
  const lines = text
    .split("\n")
    .filter((line) => line.startsWith("{"))
    .map((line) => JSON.parse(line) as Readonly<Record<string, unknown>>);
  return { code, lines };
}

const RUNS = 'setInterval(() => {}, 1000); process.stdout.write("up");';

test("a failing start is one line with its sentence, and exit code 1", async () => {
  const { code, lines } = await daemon('throw new Error("no such device");');
  assert.equal(code, 1);
  assert.deepEqual(
    lines.map((line) => [line["msg"], line["error"]]),
    [["fatal", "no such device"]],
  );
});

test("a rejection that nobody handles ends the daemon with 1: no half-working process", async () => {
  const { code, lines } = await daemon(
    `${RUNS} setImmediate(() => Promise.reject(new Error("lost"))); return { stop: async () => {} };`,
  );
  assert.equal(code, 1);
  assert.equal(lines.at(-1)?.["error"], "lost");
});

test("SIGTERM stops it, exit code 0; SIGUSR1 opens no inspector", async () => {
  const { code, lines } = await daemon(`${RUNS} return { stop: async () => {} };`, ["SIGUSR1", "SIGTERM"]);
  assert.equal(code, 0);
  assert.deepEqual(
    lines.map((line) => line["msg"]),
    ["stopping"],
  );
});

test("a second signal does not wait for a stop that hangs", async () => {
  const { code } = await daemon(`${RUNS} return { stop: () => new Promise(() => {}) };`, [
    "SIGTERM",
    "SIGINT",
  ]);
  assert.equal(code, 130);
});

test("where a crash could write keys to disk, a line says so", async () => {
  const { lines } = await daemon(`return { stop: async () => {}, finished: Promise.resolve() };`, [], "1024");
  assert.match(String(lines[0]?.["msg"]), /core dumps are possible/);
  assert.equal(
    coreDumpsPossible("Max core file size        0                    unlimited            bytes"),
    false,
  );
  assert.equal(
    coreDumpsPossible("Max core file size        unlimited            unlimited            bytes"),
    true,
  );
  assert.equal(coreDumpsPossible(""), false);
});
