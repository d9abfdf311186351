/** The command as users start it: the launcher, exit codes, pipes. */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { join } from "node:path";
import test from "node:test";
import { testdataPath } from "./testing.ts";

const LAUNCHER = join(import.meta.dirname, "..", "ambit");

interface Ended {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

function run(file: string, args: readonly string[]): Promise<Ended> {
  const env = { PATH: process.env["PATH"] ?? "", HOME: "/nonexistent" };
  return new Promise((resolve) => {
    execFile(file, args, { env, timeout: 30_000 }, (error, out, err) =>
      resolve({ code: typeof error?.code === "number" ? error.code : error === null ? 0 : -1, out, err }),
    );
  });
}

test("the launcher runs from anywhere and through a link", async () => {
  const { code, out, err } = await run("sh", [
    "-c",
    `cd / && d=$(mktemp -d) && ln -s ${LAUNCHER} $d/ambit && $d/ambit version --client; rc=$?; rm -r $d; exit $rc`,
  ]);
  assert.deepEqual([code, err], [0, ""]);
  assert.match(out, /^client version: /);
});

test("exit codes: help 0, wrong words 2, no cluster 3, bad file 1", async () => {
  const codes = await Promise.all(
    [["--help"], ["nonsense"], ["zc", "w"], ["zc", "w", "-f", "/nonexistent/dump"]].map((args) =>
      run(LAUNCHER, args),
    ),
  );
  assert.deepEqual(
    codes.map((ended) => ended.code),
    [0, 2, 3, 1],
  );
  assert.match(codes[1]?.err ?? "", /unknown command "nonsense"\nSee "ambit --help"\./);
  assert.match(codes[2]?.err ?? "", /no Kubernetes cluster is configured\nSet KUBECONFIG/);
  assert.match(codes[3]?.err ?? "", /cannot read \/nonexistent\/dump: ENOENT/);
});

test("a dump through a pipe, and a reader that stops early, end without noise", async () => {
  const { code, out, err } = await run("sh", [
    "-c",
    `${LAUNCHER} zc all -f - < ${testdataPath("config-dump.json")} | head -n 1`,
  ]);
  assert.deepEqual([code, err], [0, ""]);
  assert.match(out, /^NAMESPACE +POD NAME/);
});

test("a clone without the pinned Node says what to run", async () => {
  const { code, err } = await run("sh", [
    "-c",
    `d=$(mktemp -d) && cp ${LAUNCHER} $d/ && $d/ambit version; rc=$?; rm -r $d; exit $rc`,
  ]);
  assert.equal(code, 1);
  assert.match(err, /pinned Node is not installed[^]*npm start/);
});
