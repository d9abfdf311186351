/** npm's packages as locked, among them the pinned Node that everything else runs on. */
import { createHash } from "node:crypto";
import { existsSync, readFileSync, realpathSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fail, onPath, reason, runQuietly } from "./talk.mjs";

const NPM_TIMEOUT_MS = 1_200_000;
const DOWNLOAD = "about 140 MB to download, once";

/** The pinned Node's program, or undefined when it is not installed. */
export function pinnedNode(root) {
  const path = join(root, "node_modules", `node-linux-${process.arch}`, "bin", "node");
  return existsSync(path) && statSync(path).size > 0 ? path : undefined;
}

/** Whether what is installed is what the lockfile says. */
export function isInstalled(root) {
  return (
    pinnedNode(root) !== undefined &&
    existsSync(stampOf(root)) &&
    readFileSync(stampOf(root), "utf8") === lockHash(root)
  );
}

/** Ends the process when something cannot be installed. */
export async function installNpmPackages(root) {
  const npm = onPath("npm");
  if (npm === undefined)
    fail("npm is not installed", "install it (as root: apt-get install npm), then run the same command");
  rmSync(stampOf(root), { force: true });
  await npmInstall(root, `installing npm packages and Node 26 (${DOWNLOAD})`, npm, []);
  if (pinnedNode(root) === undefined)
    fail(
      `npm did not install node-linux-${process.arch}, the pinned Node`,
      "check that npm's registry has it, then run the same command",
    );
  await installLeftOut(root, npm);
  writeFileSync(stampOf(root), lockHash(root));
}

/**
 * npm leaves out, silently, packages for this platform that do not support the Node under which npm itself runs.
 * The project's own Node supports them all, so npm is run once more under it.
 */
async function installLeftOut(root, npm) {
  if (leftOut(root).length === 0) return;
  const script = realpathSync(npm);
  if (/\.[cm]?js$/.test(script)) {
    const what = `installing ${leftOut(root).length} packages that npm left out under Node ${process.versions.node}`;
    await npmInstall(root, what, pinnedNode(root), [script]);
  }
  const still = leftOut(root);
  if (still.length > 0)
    fail(
      `npm left out ${still.join(", ")}`,
      `most likely because it runs under Node ${process.versions.node}: use Node 22 or newer, or another registry`,
    );
}

async function npmInstall(root, what, command, before) {
  const args = ["install", "--no-save", "--package-lock", "--ignore-scripts", "--no-audit", "--no-fund"];
  // Whatever npm's configuration says: build tools are needed, and the pinned Node is an optional package.
  const all = [
    "--prefer-offline",
    "--fetch-retries=3",
    "--fetch-retry-mintimeout=1000",
    "--fetch-retry-maxtimeout=10000",
    "--include=dev",
    "--include=optional",
    "--engine-strict=false",
    "--loglevel=error",
  ];
  // `install` and not `ci`: some tools have optional packages per platform, and registries that mirror only a part of them
  // make `ci` refuse the whole lockfile. What is in the lockfile is installed as locked, checked by its hash.
  const { status, output } = await runQuietly(what, command, [...before, ...args, ...all], {
    cwd: root,
    timeoutMs: NPM_TIMEOUT_MS,
    env: npmEnvironment(),
  });
  if (status !== 0)
    fail(
      `npm install failed: ${reason(output)}`,
      "check the network, free disk space and npm's registry setting, then run the same command",
    );
}

/** Debian's npm finds its own packages only in Debian's folder, which only Debian's Node searches unasked. */
function npmEnvironment() {
  const debian = "/usr/share/nodejs";
  const paths = [process.env.NODE_PATH ?? "", existsSync(debian) ? debian : ""].filter((path) => path !== "");
  return paths.length === 0 ? process.env : { ...process.env, NODE_PATH: paths.join(":") };
}

/** Packages made for exactly this platform that are locked but not there. */
function leftOut(root) {
  const { packages } = JSON.parse(readFileSync(join(root, "package-lock.json"), "utf8"));
  return Object.entries(packages)
    .filter(([path, entry]) => entry.cpu !== undefined && isForHere(entry) && !existsSync(join(root, path)))
    .map(([path]) => path.replace(/^.*node_modules\//, ""));
}

function isForHere({ os, cpu, libc }) {
  return (
    cpu.includes(process.arch) && (os ?? ["linux"]).includes("linux") && (libc ?? ["glibc"]).includes("glibc")
  );
}

function stampOf(root) {
  return join(root, "node_modules", ".ambit-installed");
}

function lockHash(root) {
  return createHash("sha256")
    .update(readFileSync(join(root, "package-lock.json")))
    .digest("hex");
}
