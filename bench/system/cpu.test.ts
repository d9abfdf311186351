import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { test } from "node:test";
import {
  cpuSeconds,
  withChildren,
  parseProcessCpu,
  parseResidentBytes,
  parseStolenSeconds,
  residentBytes,
} from "./cpu-usage.ts";
import { cpuBetween } from "./cpu-window.ts";

test("a process whose name imitates the format is read rightly", () => {
  const stat = "42 (a) R 9 9 9 (x) S 1 42 42 0 -1 4194560 100 0 0 0 150 50 7 3 20 0 1 0 5 6 7";
  assert.deepEqual(parseProcessCpu(stat), { own: 2, children: 0.1 });
});

test("memory and stolen time in bytes and seconds", () => {
  assert.equal(parseResidentBytes("5000 300 20 1 0 400 0\n"), 300 * 4_096);
  assert.equal(parseStolenSeconds("cpu  1 2 3 4 5 6 7 250 0 0\ncpu0 1 2 3\n"), 2.5);
});

test("a process that is gone counts as nothing, this one as something", () => {
  assert.equal(cpuSeconds([2 ** 30]), 0);
  assert.ok(residentBytes([process.pid]) > 0);
});

test("a process that is named beside its parent counts once", () => {
  const child = spawn("sleep", ["30"], { stdio: "ignore" });
  try {
    const pids = withChildren([process.pid, child.pid ?? 0, process.pid]);
    assert.equal(pids.filter((pid) => pid === child.pid).length, 1);
    assert.equal(pids.filter((pid) => pid === process.pid).length, 1);
  } finally {
    child.kill("SIGKILL");
  }
});

test("what is neither proxy nor load is foreign, as a share of the machine", () => {
  const before = { a: 1, b: 1, load: 1, everyone: 10, stolen: 0, time: 100 };
  const after = { a: 1.5, b: 2, load: 3, everyone: 14.5, stolen: 1, time: 105 };
  const window = cpuBetween(before, after, 2);
  assert.deepEqual([window.a, window.b, window.load], [0.5, 1, 2]);
  assert.equal(window.foreignShare, 0.2);
  assert.equal(window.loadShare, 0.2);
});

test("a count that falls behind its parts is no negative load", () => {
  const zero = { a: 0, b: 0, load: 0, everyone: 0, stolen: 0, time: 0 };
  assert.equal(cpuBetween(zero, { ...zero, load: 1, time: 1 }, 2).foreignShare, 0);
  assert.equal(cpuBetween(zero, zero, 2).foreignShare, 0);
});
