#!/usr/bin/env node
// Brings a fresh Debian or Ubuntu machine to the point where Ambit runs, then hands over to the pinned Node.
// Plain JavaScript for Node >= 18 without any package: this file and bootstrap/ run before anything is installed.
//   node tools/bootstrap.mjs run <task> [arguments]
import { spawn, spawnSync } from "node:child_process";
import { mkdirSync } from "node:fs";
import { constants } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { installNpmPackages, isInstalled, pinnedNode } from "./bootstrap/npm-packages.mjs";
import { oneAtATime } from "./bootstrap/one-at-a-time.mjs";
import { installOsPackages } from "./bootstrap/os-packages.mjs";
import { fail } from "./bootstrap/talk.mjs";

const ROOT = dirname(dirname(fileURLToPath(import.meta.url)));
const BUILD_TIMEOUT_MS = 300_000;

// Each task: its program, whether it makes network namespaces (root and OS packages needed), whether it needs the bundles first.
const TASKS = {
  check: { program: "tools/check.ts", cluster: false },
  unit: { program: "tools/unit.ts", cluster: false },
  format: { program: "tools/format.ts", cluster: false },
  build: { program: "tools/build.ts", cluster: false },
  "gen-bpf": { program: "tools/gen-bpf.ts", cluster: false },
  "gen-shim": { program: "tools/gen-shim.ts", cluster: false },
  "gen-launcher": { program: "tools/gen-launcher.ts", cluster: false },
  test: { program: "tools/test.ts", cluster: true, tests: true },
  demo: { program: "e2e/tour/main.ts", cluster: true, bundles: true },
  start: { program: "local/start.ts", cluster: true, bundles: true },
  bench: { program: "bench/main.ts", cluster: true, bundles: true },
};

/** `su` without a dash leaves the system's directories out, and apt needs them as much as the cluster does. */
function completePath() {
  const path = (process.env.PATH ?? "").split(":").filter((dir) => dir !== "");
  const system = ["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"];
  process.env.PATH = [...path, ...system.filter((dir) => !path.includes(dir))].join(":");
}

function checkMachine(name, task) {
  if (Number(process.versions.node.split(".")[0]) < 18)
    fail(
      `Node ${process.versions.node} is too old to start the bootstrap`,
      "install Node 18 or newer (Debian 12: apt-get install nodejs npm; Ubuntu 22.04: from nodejs.org)",
    );
  if (process.platform !== "linux" || !["x64", "arm64"].includes(process.arch))
    fail(
      `${process.platform}/${process.arch} is not supported`,
      "use a Linux machine (x86-64 or arm64), a virtual one will do",
    );
  if (task.cluster && process.getuid() !== 0) {
    // npm 7 and 8 give up root for the owner of the folder.
    const sudo =
      process.env.SUDO_UID === undefined
        ? `sudo npm run ${name}`
        : `sudo node tools/bootstrap.mjs run ${name}`;
    fail(
      `${name} makes network namespaces, which needs root`,
      `run: ${sudo}   (only \`npm run check\` works without)`,
    );
  }
}

async function prepare(task) {
  await installOsPackages(task);
  if (!isInstalled(ROOT)) await installNpmPackages(ROOT);
  const node = pinnedNode(ROOT);
  const trial = spawnSync(node, ["--version"], { encoding: "utf8" });
  if (trial.status !== 0)
    fail(
      `the pinned Node does not start: ${trial.error?.message ?? trial.stderr.trim()}`,
      "it needs glibc 2.28 or newer and libatomic (as root: apt-get install libatomic1)",
    );
  if (!task.bundles) return;
  const build = spawnSync(node, [join(ROOT, "tools", "build.ts")], {
    cwd: ROOT,
    stdio: "inherit",
    timeout: BUILD_TIMEOUT_MS,
  });
  if (build.status !== 0) fail("the bundles could not be built", "the lines above say why");
}

/** A signal to this process goes on to the task; its end is ours. */
function handOver(program, args) {
  const child = spawn(pinnedNode(ROOT), [join(ROOT, program), ...args], { cwd: ROOT, stdio: "inherit" });
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) process.on(signal, () => child.kill(signal));
  child.on("error", (error) => fail(`the task did not start: ${error.message}`, "try again"));
  child.on("exit", (code, signal) => process.exit(code ?? 128 + constants.signals[signal]));
}

const [verb, name = "", ...args] = process.argv.slice(2);
const task = Object.hasOwn(TASKS, name) ? TASKS[name] : undefined;
if (verb !== "run" || task === undefined)
  fail("usage: node tools/bootstrap.mjs run <task>", `tasks: ${Object.keys(TASKS).join(", ")}`);
completePath();
checkMachine(name, task);
mkdirSync(join(ROOT, ".build"), { recursive: true });
await oneAtATime(join(ROOT, ".build", "bootstrap.lock"), () => prepare(task));
handOver(task.program, args);
