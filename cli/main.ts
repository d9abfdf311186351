/** `ambit`: words to command to exit code. The one catch point of the command line. */
import { readFile } from "node:fs/promises";
import { systemClock } from "#core/base/clock.ts";
import { AmbitError, describeError } from "#core/runtime/errors.ts";
import type { ClusterAccess } from "./cluster/cluster-access.ts";
import { AMBIT } from "./command-table.ts";
import type { CommandContext, GlobalOptions } from "./context.ts";
import { reportError } from "./errors.ts";
import { ExitCode } from "./exit-codes.ts";
import { helpText } from "./help.ts";
import { parseCommandLine } from "./parse-command-line.ts";
import { printableLines } from "./render/printable.ts";

const MAX_INPUT_BYTES = 256 * 1_048_576;

process.exitCode = await main(process.argv.slice(2));

async function main(words: readonly string[]): Promise<ExitCode> {
  const interrupt = new AbortController();
  for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => interrupt.abort());
  process.stdout.on("error", onClosedPipe);
  const line = parseCommandLine(AMBIT, words);
  switch (line.kind) {
    case "help":
      process.stdout.write(helpText(line.path));
      return ExitCode.ok;
    case "wrong": {
      const name = line.path.map((c) => c.name).join(" ");
      process.stderr.write(`Error: ${line.message}\nSee "${name} --help".\n`);
      return ExitCode.usage;
    }
    case "run":
      try {
        return await line.command.run(line.invocation, worldContext(line.options, interrupt.signal));
      } catch (error) {
        if (interrupt.signal.aborted) return ExitCode.interrupted;
        const report = reportError(error);
        process.stderr.write(`${printableLines(report.text)}\n`);
        return report.exit;
      }
  }
}

function worldContext(options: GlobalOptions, signal: AbortSignal): CommandContext {
  let access: Promise<ClusterAccess> | undefined;
  return {
    options,
    clock: systemClock,
    signal,
    out: (text) => void process.stdout.write(text),
    note: (text) => void process.stderr.write(`${printableLines(text)}\n`),
    readText,
    // The Kubernetes client is large: commands that need no cluster start without it.
    cluster: () =>
      (access ??= import("./cluster/kube-access.ts").then((m) => m.openCluster(options, signal))),
  };
}

async function readText(path: string): Promise<string> {
  try {
    return path === "-" ? await readStandardInput() : await readFile(path, "utf8");
  } catch (error) {
    if (error instanceof AmbitError) throw error;
    throw new AmbitError("CLI_FILE", `cannot read ${path}: ${describeError(error)}`, { cause: error });
  }
}

async function readStandardInput(): Promise<string> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of process.stdin as AsyncIterable<Buffer>) {
    size += chunk.length;
    if (size > MAX_INPUT_BYTES) throw new AmbitError("CLI_FILE", "standard input is larger than 256 MiB");
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString("utf8");
}

/** `ambit ... | head` ends without a word. */
function onClosedPipe(error: NodeJS.ErrnoException): void {
  if (error.code === "EPIPE") process.exit(ExitCode.ok);
  throw error;
}
