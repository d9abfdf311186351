/** Runs named steps one after another with their time; the first failure ends the run with its output shown. */
import { spawn } from "node:child_process";
import { join } from "node:path";
import { performance } from "node:perf_hooks";

export interface Step {
  readonly name: string;
  readonly command: string;
  readonly args: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  /** Milliseconds after which the step is killed and counts as failed. */
  readonly timeoutMs: number;
}

export function toolPath(name: string): string {
  return join("node_modules", ".bin", name);
}

/** Exits the process with 1 at the first failing step. Output of passing steps is shown only when `verbose`. */
export async function runSteps(steps: readonly Step[], verbose = false): Promise<void> {
  for (const step of steps) {
    const started = performance.now();
    const { code, output } = await runStep(step, verbose);
    const took = `${((performance.now() - started) / 1000).toFixed(1)} s`;
    if (code !== 0) {
      process.stderr.write(
        `${output}\nFAILED ${step.name} (${took}): ${step.command} ${step.args.join(" ")}\n`,
      );
      process.exit(1);
    }
    process.stderr.write(`ok ${step.name} (${took})\n`);
  }
}

function runStep(step: Step, verbose: boolean): Promise<{ readonly code: number; readonly output: string }> {
  return new Promise((resolve) => {
    const child = spawn(step.command, step.args, {
      stdio: ["ignore", verbose ? "inherit" : "pipe", verbose ? "inherit" : "pipe"],
      env: { ...process.env, ...step.env },
      timeout: step.timeoutMs,
      killSignal: "SIGKILL",
    });
    const chunks: Buffer[] = [];
    child.stdout?.on("data", (chunk: Buffer) => chunks.push(chunk));
    child.stderr?.on("data", (chunk: Buffer) => chunks.push(chunk));
    child.on("error", (error) => resolve({ code: 1, output: String(error) }));
    child.on("close", (code) => resolve({ code: code ?? 1, output: Buffer.concat(chunks).toString() }));
  });
}
