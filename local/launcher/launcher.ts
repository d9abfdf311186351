/** The launcher binary `ambit-run` of this machine's architecture, and how a plan is run with it. */
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { mkdirSync, renameSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { AmbitError } from "#core/runtime/errors.ts";
import { LAUNCHER_BASE64 } from "./launcher.gen.ts";

/** Steps of `run.c` in order (each a name and its words), without the program. */
export type LaunchPlan = readonly (readonly string[])[];

/** Writes the executable to `path` (mode 0755), replacing it atomically. Throws on other CPUs than amd64 and arm64. */
export function installLauncher(path: string): void {
  const arch = process.arch;
  if (arch !== "x64" && arch !== "arm64") {
    throw new AmbitError("LAUNCHER_ARCH", `the local cluster runs on amd64 and arm64, not on ${arch}`);
  }
  mkdirSync(dirname(path), { recursive: true });
  const temporary = `${path}.${process.pid}.tmp`;
  writeFileSync(temporary, Buffer.from(LAUNCHER_BASE64[arch], "base64"), { mode: 0o755 });
  renameSync(temporary, path);
}

/** Runs a short plan to its end and throws with the launcher's own words when it fails. */
export function runPlan(launcher: string, plan: LaunchPlan, program: readonly string[]): string {
  const result = spawnSync(launcher, [...plan.flat(), "--", ...program], {
    env: { PATH: "/usr/sbin:/usr/bin:/sbin:/bin" },
    timeout: 20_000,
    encoding: "utf8",
  });
  if (result.status === 0) return result.stdout;
  const reason = result.stderr.trim() || result.error?.message || `status ${result.status}`;
  throw new AmbitError("LAUNCH_FAILED", `${program[0] ?? "plan"} failed: ${reason}`);
}

export interface LaunchStdio {
  readonly env: Readonly<Record<string, string>>;
  readonly stdio: readonly ("ignore" | "pipe" | number)[];
}

/** Starts a plan and returns at once. `end` is what it becomes: `["--", program, ...]`, `["pause"]` or `["connect", ip, port]`. */
export function launch(
  launcher: string,
  command: { readonly plan: LaunchPlan; readonly end: readonly string[] },
  options: LaunchStdio,
): ChildProcess {
  return spawn(launcher, [...command.plan.flat(), ...command.end], {
    env: options.env,
    stdio: [...options.stdio],
    cwd: "/",
  });
}
