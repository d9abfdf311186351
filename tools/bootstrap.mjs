#!/usr/bin/env node
// Brings a fresh Debian or Ubuntu machine to the point where Ambit runs, then hands over to the pinned Node.
// Plain JavaScript for Node >= 18 without any package: this file runs before anything is installed.
//   node tools/bootstrap.mjs run <task> [arguments]
import { execFileSync, spawn, spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const ROOT = dirname(dirname(fileURLToPath(import.meta.url)));
const STAMP = join(ROOT, "node_modules", ".ambit-installed");

// Each task: its program, and whether it makes network namespaces (root and OS packages needed).
const TASKS = {
  check: { program: "tools/check.ts", cluster: false },
  unit: { program: "tools/unit.ts", cluster: false },
  format: { program: "tools/format.ts", cluster: false },
  build: { program: "tools/build.ts", cluster: false },
  "gen-bpf": { program: "tools/gen-bpf.ts", cluster: false },
  "gen-shim": { program: "tools/gen-shim.ts", cluster: false },
  "gen-launcher": { program: "tools/gen-launcher.ts", cluster: false },
  test: { program: "tools/test.ts", cluster: true },
  demo: { program: "e2e/tour/main.ts", cluster: true, bundles: true },
  start: { program: "local/start.ts", cluster: true, bundles: true },
  bench: { program: "bench/main.ts", cluster: true, bundles: true },
};

// What a local cluster needs from the operating system: a file that proves presence, the package, and why.
const OS_PACKAGES = [
  { file: ["/sbin/ip", "/usr/sbin/ip", "/bin/ip"], name: "iproute2", why: "network namespaces and links" },
  { file: ["/usr/lib/cni/bridge"], name: "containernetworking-plugins", why: "the reference CNI plugins" },
  { file: ["/usr/sbin/nft", "/sbin/nft"], name: "nftables", why: "service addresses of un-enrolled pods" },
  { file: ["/usr/bin/nsenter"], name: "util-linux", why: "entering namespaces" },
  { file: ["/usr/bin/pgrep"], name: "procps", why: "finding processes to clean up" },
  {
    file: ["/usr/lib/x86_64-linux-gnu/libatomic.so.1", "/usr/lib/aarch64-linux-gnu/libatomic.so.1"],
    name: "libatomic1",
    why: "a library that Node 26 loads",
  },
];

function say(text) {
  process.stderr.write(`ambit: ${text}\n`);
}

function fail(what, todo) {
  say(`${what}\n       ${todo}`);
  process.exit(1);
}

function checkMachine(task) {
  if (Number(process.versions.node.split(".")[0]) < 18) {
    fail(
      `Node ${process.versions.node} is too old to start the bootstrap`,
      "install Node 18 or newer (apt-get install nodejs)",
    );
  }
  if (process.platform !== "linux" || !["x64", "arm64"].includes(process.arch)) {
    fail(
      `${process.platform}/${process.arch} is not supported`,
      "use a Linux machine (x86-64 or arm64), a virtual one will do",
    );
  }
  if (task.cluster && process.getuid() !== 0) {
    fail(
      "a local cluster makes network namespaces, which needs root",
      "run the same command with sudo, or `npm run check` as you are",
    );
  }
}

function installOsPackages() {
  const missing = OS_PACKAGES.filter((p) => !p.file.some((f) => existsSync(f)));
  const wanted = missing.map((p) => p.name);
  if (!onPath("kubectl")) wanted.push(...optionalKubectl());
  if (wanted.length === 0) return;
  if (!onPath("apt-get")) {
    if (missing.length === 0) return;
    fail(
      `missing: ${wanted.join(", ")}, and there is no apt-get here`,
      "install these packages with your system's package manager, then run the same command",
    );
  }
  for (const p of missing) say(`needs the OS package ${p.name}: ${p.why}`);
  apt(["update"], "reading the package lists");
  apt(
    ["install", "-y", "--no-install-recommends", ...wanted],
    `installing ${wanted.join(", ")}${aptSize(wanted)}`,
  );
}

/** kubectl is wanted but not needed: the tour prints and makes the same API calls without it. */
function optionalKubectl() {
  if (!onPath("apt-cache")) return [];
  const policy = spawnSync("apt-cache", ["policy", "kubernetes-client"], { encoding: "utf8" }).stdout ?? "";
  if (!/Candidate: [0-9]/.test(policy)) return [];
  say("kubectl is absent: installing the OS package kubernetes-client, which has it");
  return ["kubernetes-client"];
}

function aptSize(packages) {
  const plan = spawnSync("apt-get", ["install", "--no-install-recommends", "--assume-no", ...packages], {
    encoding: "utf8",
  });
  const size = /Need to get ([0-9.,]+ [kMG]?B)/.exec(plan.stdout ?? "");
  return size === null ? "" : ` (${size[1]} to download)`;
}

function apt(args, what) {
  say(`${what} ...`);
  const started = Date.now();
  const run = spawnSync("apt-get", ["-qq", ...args], {
    env: { ...process.env, DEBIAN_FRONTEND: "noninteractive" },
    stdio: ["ignore", "pipe", "pipe"],
    encoding: "utf8",
    timeout: 600_000,
  });
  if (run.status !== 0 && args[0] === "install") {
    fail(
      `apt-get could not install: ${lastLines(run.stderr)}`,
      `check the network and run: apt-get install ${args.slice(3).join(" ")}`,
    );
  }
  if (run.status !== 0)
    say(`package lists could not be refreshed (${lastLines(run.stderr)}); trying with the old ones`);
  say(`${what}: done in ${seconds(started)}`);
}

function installNpmPackages() {
  const lock = createHash("sha256")
    .update(readFileSync(join(ROOT, "package-lock.json")))
    .digest("hex");
  if (existsSync(STAMP) && readFileSync(STAMP, "utf8") === lock && pinnedNode() !== undefined) return;
  say("installing npm packages and Node 26 (about 160 MB to download, once) ...");
  const started = Date.now();
  // `install` and not `ci`: some tools have optional packages per platform, and registries that mirror only a part of them
  // make `ci` refuse the whole lockfile. What is in the lockfile is installed as locked, checked by its hash.
  const run = spawnSync(
    "npm",
    ["install", "--no-save", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"],
    {
      cwd: ROOT,
      stdio: ["ignore", "pipe", "pipe"],
      encoding: "utf8",
      timeout: 900_000,
    },
  );
  if (run.status !== 0)
    fail(
      `npm install failed: ${lastLines(run.stderr)}`,
      "check the network and npm's registry setting, then run the same command",
    );
  if (pinnedNode() === undefined)
    fail(
      "npm left out the pinned Node",
      "npm must install optional dependencies: unset npm's `omit` setting",
    );
  writeFileSync(STAMP, lock);
  say(`npm packages: done in ${seconds(started)}`);
}

function pinnedNode() {
  const path = join(ROOT, "node_modules", `node-linux-${process.arch}`, "bin", "node");
  return existsSync(path) && statSync(path).size > 0 ? path : undefined;
}

function onPath(program) {
  return (process.env.PATH ?? "").split(":").some((dir) => dir !== "" && existsSync(join(dir, program)));
}

function lastLines(text) {
  return (text ?? "").trim().split("\n").slice(-3).join(" | ").slice(0, 400);
}

function seconds(started) {
  return `${((Date.now() - started) / 1000).toFixed(1)} s`;
}

function buildBundles(node) {
  const run = spawnSync(node, [join(ROOT, "tools", "build.ts")], {
    cwd: ROOT,
    stdio: "inherit",
    timeout: 300_000,
  });
  if (run.status !== 0) fail("the bundles could not be built", "the lines above say why");
}

function handOver(node, program, args) {
  const child = spawn(node, [join(ROOT, program), ...args], { cwd: ROOT, stdio: "inherit" });
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) process.on(signal, () => child.kill(signal));
  child.on("exit", (code, signal) => process.exit(signal === null ? code : 128 + 15));
}

const [verb, name = "", ...args] = process.argv.slice(2);
const task = TASKS[name];
if (verb !== "run" || task === undefined) {
  fail("usage: node tools/bootstrap.mjs run <task>", `tasks: ${Object.keys(TASKS).join(", ")}`);
}
checkMachine(task);
if (task.cluster) installOsPackages();
else if (process.getuid() === 0 && !OS_PACKAGES.at(-1).file.some((f) => existsSync(f))) installOsPackages();
installNpmPackages();
mkdirSync(join(ROOT, ".build"), { recursive: true });
const node = pinnedNode();
try {
  execFileSync(node, ["--version"], { stdio: "pipe" });
} catch (error) {
  fail(
    `the pinned Node does not start: ${lastLines(String(error.stderr))}`,
    "install libatomic1 (apt-get install libatomic1) and try again",
  );
}
if (task.bundles) buildBundles(node);
handOver(node, task.program, args);
