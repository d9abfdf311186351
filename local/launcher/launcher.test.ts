import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { installLauncher, runPlan } from "./launcher.ts";
import { LAUNCHER_BASE64, LAUNCHER_SOURCE_SHA256 } from "./launcher.gen.ts";

const folder = mkdtempSync(join(tmpdir(), "ambit-launcher-test-"));
const launcher = join(folder, "ambit-run");
installLauncher(launcher);
after(() => rmSync(folder, { recursive: true }));

function run(...args: readonly string[]): {
  readonly status: number | null;
  readonly out: string;
  readonly err: string;
} {
  const result = spawnSync(launcher, args, {
    encoding: "utf8",
    timeout: 10_000,
    env: { PATH: "/usr/bin:/bin" },
  });
  return { status: result.status, out: result.stdout, err: result.stderr };
}

test("the committed binaries were made from the sources beside them", () => {
  const hash = createHash("sha256");
  for (const file of ["run.c", "sys.h"]) hash.update(readFileSync(join(import.meta.dirname, file)));
  assert.equal(LAUNCHER_SOURCE_SHA256, hash.digest("hex"), "run: node tools/gen-launcher.ts");
});

test("both architectures are static ELF programs", () => {
  const machine = { x64: 0x3e, arm64: 0xb7 } as const;
  for (const arch of ["x64", "arm64"] as const) {
    const bytes = Buffer.from(LAUNCHER_BASE64[arch], "base64");
    assert.equal(bytes.subarray(0, 4).toString("latin1"), "\x7fELF");
    assert.equal(bytes.readUInt16LE(16), 2, "ET_EXEC: no interpreter, no relocation");
    assert.equal(bytes.readUInt16LE(18), machine[arch]);
  }
});

const failures = [
  { name: "no step at all", args: [], says: /plan ends without/ },
  { name: "an unknown step", args: ["dance", "x", "--", "true"], says: /unknown step dance/ },
  { name: "a step without its words", args: ["enter", "1"], says: /needs more words/ },
  { name: "a plan without a program", args: ["--"], says: /needs a program/ },
  {
    name: "a control group that is not there",
    args: ["cgroup", "/nowhere", "--", "true"],
    says: /cgroup \/nowhere/,
  },
  {
    name: "a namespace that is not there",
    args: ["netns", "/nowhere", "--", "true"],
    says: /netns \/nowhere/,
  },
];
for (const c of failures) {
  test(`${c.name}: status 125, a reason, and nothing runs`, () => {
    const result = run(...c.args);
    assert.equal(result.status, 125);
    assert.match(result.err, c.says);
  });
}

test("a program that is not there: 127, one that may not run: 126", () => {
  assert.equal(run("--", "no-such-program").status, 127);
  assert.equal(run("--", "/etc/passwd").status, 126);
});

test("after fork the status is the child's, 128 + signal when it was killed", () => {
  assert.equal(run("fork", "--", "sh", "-c", "exit 7").status, 7);
  assert.equal(run("fork", "--", "sh", "-c", "kill -9 $$").status, 137);
  assert.equal(run("fork", "--", "sh", "-c", "kill -15 $$").status, 143);
});

test("arguments, environment and working directory arrive unchanged", () => {
  const result = run("cwd", "/usr", "--", "sh", "-c", 'printf "%s|" "$PWD" "$PATH" "$@"', "x", "a b", "");
  assert.equal(result.out, "/usr|/usr/bin:/bin|a b||");
});

test("signals are passed on to the child", async () => {
  const child = spawn(
    launcher,
    ["fork", "--", "sh", "-c", 'trap "echo got; exit 3" TERM; echo up; while :; do sleep 0.05; done'],
    {
      stdio: ["ignore", "pipe", "inherit"],
    },
  );
  let out = "";
  child.stdout.on("data", (chunk: Buffer) => {
    out += chunk.toString();
    if (out === "up\n") child.kill("SIGTERM");
  });
  const code = await new Promise((resolve) => child.on("close", resolve));
  assert.deepEqual({ out, code }, { out: "up\ngot\n", code: 3 });
});

test("pause closes its output when it is ready and ends at SIGTERM", async () => {
  const child = spawn(launcher, ["pause"], { stdio: ["ignore", "pipe", "inherit"] });
  await new Promise((resolve) => child.stdout.resume().on("end", resolve));
  child.kill("SIGTERM");
  assert.equal(await new Promise((resolve) => child.on("exit", resolve)), 0);
});

test("a failing plan is an error with the launcher's own words", () => {
  assert.throws(
    () => runPlan(launcher, [["netns", "/nowhere"]], ["true"]),
    /true failed: ambit-run: netns \/nowhere: errno 2/,
  );
});
