/** `npm run bench -- l4|l7`: measures, prints tables, writes JSON and markdown. Figures are reported, never asserted. */
import { execFileSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { describeProblems } from "#core/base/parse-result.ts";
import { describeError } from "#core/runtime/errors.ts";
import { runPods } from "./l4/run-pods.ts";
import { runSockets } from "./l4/run-sockets.ts";
import { runL7 } from "./l7/run-l7.ts";
import { type BenchOptions, HELP, parseBenchOptions } from "./options.ts";
import { renderMarkdown, renderText } from "./render/layout.ts";
import { makeReport, type ReportInput } from "./render/report.ts";

function say(text: string): void {
  process.stderr.write(`bench: ${text}\n`);
}

/** A topology that cannot be built does not take the results of the other with it. */
async function run(options: BenchOptions): Promise<void> {
  const { benchmark, topology } = options;
  const inputs: ReportInput[] = [];
  if (benchmark === "l7") await attempt(inputs, () => runL7(options, say));
  else {
    if (topology !== "pods") await attempt(inputs, () => runSockets(options, say));
    if (topology !== "sockets") await attempt(inputs, () => runPods(options, say));
  }
  const reports = inputs.map(makeReport);
  process.stdout.write(reports.map(renderText).join("\n"));
  const { jsonPath, markdownPath } = options;
  if (jsonPath !== undefined) writeFileSync(jsonPath, `${JSON.stringify(inputs, undefined, 2)}\n`);
  if (markdownPath !== undefined) writeFileSync(markdownPath, reports.map(renderMarkdown).join("\n"));
  if (inputs.every((input) => input.samples.length === 0)) process.exitCode = 1;
}

async function attempt(inputs: ReportInput[], work: () => Promise<ReportInput>): Promise<void> {
  try {
    inputs.push(await work());
  } catch (error) {
    say(`failed: ${describeError(error)}`);
    process.exitCode = 1;
  }
}

/** What is missing on this machine, as a sentence. */
function checkMachine(): string | undefined {
  if (process.getuid?.() !== 0) return "needs root, for network namespaces: run it with sudo";
  for (const tool of ["ip", "nsenter", "setpriv", "taskset"]) {
    try {
      execFileSync("/bin/sh", ["-c", `command -v ${tool}`], { stdio: "ignore" });
    } catch {
      return `needs the program ${tool} (packages iproute2 and util-linux)`;
    }
  }
  return undefined;
}

async function main(): Promise<void> {
  const options = parseBenchOptions(process.argv.slice(2));
  if (!options.ok) {
    process.stderr.write(`bench: ${describeProblems(options.problems)}\n\n${HELP}`);
    process.exitCode = 2;
    return;
  }
  if (options.value.help) {
    process.stdout.write(HELP);
    return;
  }
  const trouble = checkMachine();
  if (trouble === undefined) return run(options.value);
  say(trouble);
  process.exitCode = 1;
}

await main();
process.exit();
