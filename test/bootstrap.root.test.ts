/** The first command on a machine that lacks something: one message that says what to do, and exit code 1. */
import assert from "node:assert/strict";
import { spawnSync, type SpawnSyncReturns } from "node:child_process";
import { chmodSync, cpSync, existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";

const isRoot = process.getuid?.() === 0;
if (!isRoot && process.env["AMBIT_REQUIRE_ROOT"] === "1")
  throw new Error("AMBIT_REQUIRE_ROOT=1, but not root");
const skip = isRoot ? false : "SKIPPED: needs root, for a mount namespace in which packages are absent";
const BOOTSTRAP = join(import.meta.dirname, "..", "tools", "bootstrap.mjs");
const CNI = "/usr/lib/cni";
const APT = "/usr/bin/apt-get";

let folder: string;
before(() => {
  folder = mkdtempSync(join(tmpdir(), "ambit-bootstrap-"));
  chmodSync(folder, 0o755);
});
after(() => rmSync(folder, { recursive: true, force: true }));

function says(run: SpawnSyncReturns<string>, ...sentences: readonly RegExp[]): void {
  assert.equal(run.status, 1, run.stderr);
  for (const sentence of sentences) assert.match(run.stderr, sentence);
  assert.ok(!run.stderr.includes("    at "), `a stack trace is no message: ${run.stderr}`);
}

/** Runs a task where the reference CNI plugins are absent, apt-get is no program, and PATH is `path`. */
function withoutPlugins(path: string): SpawnSyncReturns<string> {
  assert.ok(existsSync(CNI));
  const hide = `mount -t tmpfs none ${CNI} && { [ ! -e ${APT} ] || mount --bind /dev/null ${APT}; }`;
  const script = `mount --make-rprivate / && ${hide} && PATH="$1" exec "$2" "$3" run demo`;
  return spawnSync("unshare", ["-m", "/bin/sh", "-c", script, "sh", path, process.execPath, BOOTSTRAP], {
    encoding: "utf8",
    timeout: 60_000,
  });
}

test("as an ordinary user: that a local cluster needs root, and what works without", { skip }, () => {
  // An ordinary user may not be able to read the clone.
  const tools = join(folder, "clone", "tools");
  cpSync(BOOTSTRAP, join(tools, "bootstrap.mjs"));
  cpSync(BOOTSTRAP.replace(/\.mjs$/, ""), join(tools, "bootstrap"), { recursive: true });
  const node = join(folder, "node");
  cpSync(process.execPath, node);
  const run = spawnSync(node, [join(tools, "bootstrap.mjs"), "run", "demo"], {
    encoding: "utf8",
    uid: 65_534,
    gid: 65_534,
    cwd: "/",
    timeout: 60_000,
  });
  says(run, /needs root/, /sudo/, /npm run check/);
});

test("a package is missing and there is no apt-get: its name, and who should install it", { skip }, () => {
  says(
    withoutPlugins(folder),
    /missing: .*containernetworking-plugins/,
    /no apt-get here/,
    /package manager/,
  );
});

test("apt-get cannot install: its own words, and the command to try", { skip }, () => {
  writeFileSync(
    join(folder, "apt-get"),
    "#!/bin/sh\necho 'E: Unable to fetch some archives' >&2\nexit 100\n",
    { mode: 0o755 },
  );
  const run = withoutPlugins(folder);
  rmSync(join(folder, "apt-get"));
  says(
    run,
    /needs the OS package containernetworking-plugins: the reference CNI plugins/,
    /could not install containernetworking-plugins: E: Unable to fetch some archives/,
    /check the network.*: apt-get install .*containernetworking-plugins/,
  );
});

test("an unknown task names the known ones", { skip }, () => {
  const run = spawnSync(process.execPath, [BOOTSTRAP, "run", "dmeo"], { encoding: "utf8" });
  says(run, /usage/, /demo/);
});
