/** `ambit local` as a user types it: up, up again, down after a crash of everything that would clean up, down again. */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { after, test } from "node:test";
import { clusterDown, clusterStatus } from "./cluster.ts";
import { readRecord } from "./state-file.ts";
import { eventually, skipWithoutRoot } from "./testing/owned-cluster.ts";

const skip = skipWithoutRoot();
const id = `u${process.pid}`;

interface Answer {
  readonly code: number;
  readonly out: string;
  readonly said: string;
}

function ambit(...args: readonly string[]): Promise<Answer> {
  return new Promise((resolve) => {
    const options = { timeout: 90_000 };
    execFile(join(import.meta.dirname, "..", "ambit"), args, options, (error, out, said) =>
      resolve({ code: typeof error?.code === "number" ? error.code : error === null ? 0 : -1, out, said }),
    );
  });
}

/** Processes whose command line has both words. */
function processes(...words: readonly string[]): readonly number[] {
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .filter((pid) => {
      try {
        const line = readFileSync(`/proc/${pid}/cmdline`, "utf8");
        return words.every((word) => line.includes(word));
      } catch {
        return false; // has just ended
      }
    });
}

/** The directory goes with its last name. */
const namespaces = (): readonly string[] =>
  existsSync("/run/netns") ? readdirSync("/run/netns").filter((name) => name.startsWith(`ambit-${id}-`)) : [];

after(async () => {
  if (skip === false) await clusterDown(id);
});

test(
  "ambit local up twice, down after kill -9 of owner and reaper, down twice",
  { skip, timeout: 180_000 },
  async () => {
    const up = await ambit("local", "up", "--id", id, "--nodes", "1");
    assert.equal(up.code, 0, up.said);
    assert.match(up.out, new RegExp(`^export KUBECONFIG=/run/ambit/${id}/kubeconfig$`, "m"));
    const record = readRecord(id);
    assert.ok(record !== undefined && namespaces().length > 0, "it runs on without its command");

    const again = await ambit("local", "up", "--id", id, "--nodes", "1");
    assert.deepEqual([again.code, again.out], [0, up.out]);
    assert.match(again.said, /already running/);
    assert.equal(readRecord(id)?.pid, record.pid, "the same cluster");

    const reapers = processes("reaper.sh", `ambit-${id}`);
    assert.equal(reapers.length, 1);
    for (const pid of [...reapers, record.pid]) process.kill(pid, "SIGKILL");
    await eventually("the owner is gone", () => (clusterStatus(id).state === "stale" ? true : undefined));
    assert.ok(namespaces().length > 0, "nobody has cleaned up");

    const down = await ambit("local", "down", "--id", id);
    assert.equal(down.code, 0, down.said);
    assert.deepEqual(namespaces(), []);
    assert.deepEqual(processes(`ambit-${id}`), []);
    assert.equal(existsSync(`/run/ambit/${id}`), false);
    assert.doesNotMatch(readFileSync("/proc/self/mounts", "utf8"), new RegExp(`ambit[-/]${id}`));

    const twice = await ambit("local", "down", "--id", id);
    assert.equal(twice.code, 0);
    assert.match(twice.said, /there is no local cluster/);
  },
);
