/** Discovery through real cgroups and processes; a directory with a victim's name deeper down finds nothing. */
import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { mkdirSync, readFileSync, rmdirSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { cgroup2Root } from "#core/linux/cgroup.ts";
import { findPodNetns } from "./netns-finder.ts";
import { isProcessOfPod, kubepodsPrefix, podProcesses } from "./pod-cgroups.ts";

const UID = "11111111-2222-3333-4444-555555555555";
const VICTIM = "99999999-2222-3333-4444-555555555555";
const skip = process.getuid?.() === 0 ? false : "needs root";
if (skip !== false && process.env["AMBIT_REQUIRE_ROOT"] === "1") throw new Error("root is required");

const root = join(cgroup2Root() ?? "/sys/fs/cgroup", `ambit-finder${process.pid}`);
const made: string[] = [];
const children: ChildProcess[] = [];

function group(...path: string[]): string {
  const parts = [root, ...path];
  for (let i = 1; i <= parts.length; i++) {
    const directory = join(...parts.slice(0, i));
    if (made.includes(directory)) continue;
    mkdirSync(directory, { recursive: true });
    made.push(directory);
  }
  return join(...parts);
}

async function processIn(directory: string, ownNetns: boolean): Promise<number> {
  const command = ownNetns ? ["unshare", "-n", "sleep", "60"] : ["sleep", "60"];
  const child = spawn(command[0] ?? "", command.slice(1), { stdio: "ignore" });
  children.push(child);
  const pid = child.pid ?? 0;
  writeFileSync(join(directory, "cgroup.procs"), String(pid));
  if (!ownNetns) return pid;
  const home = statSync("/proc/self/ns/net").ino;
  while (statSync(`/proc/${pid}/ns/net`).ino === home) await new Promise((resolve) => setTimeout(resolve, 5));
  return pid;
}

before(() => {
  if (skip === false) group();
});
after(async () => {
  for (const child of children) {
    const ended = new Promise((resolve) => child.once("exit", resolve));
    child.kill("SIGKILL");
    await ended;
  }
  for (const directory of made.toReversed()) rmdirSync(directory);
});

test("the oldest process of the pod's own directory decides, whatever later ones did", { skip }, async () => {
  const container = group("kubepods", "burstable", `pod${UID}`, "sandbox");
  const sandbox = await processIn(container, true);
  await processIn(group("kubepods", "burstable", `pod${UID}`, "app"), true);
  const found = findPodNetns({ roots: [root] }, UID);
  assert.ok(found.kind === "found");
  assert.equal(found.pid, sandbox);
  assert.equal(found.netns.inode, statSync(`/proc/${sandbox}/ns/net`, { bigint: true }).ino);
  found.netns.close();
});

test("a nested directory named after a victim finds nothing for the victim", { skip }, async () => {
  const nested = group("kubepods", "burstable", `pod${UID}`, "app", `pod${VICTIM}`, "fake");
  const pid = await processIn(nested, true);
  assert.deepEqual(findPodNetns({ roots: [root] }, VICTIM).kind, "none");
  const cgroups = readFileSync(`/proc/${pid}/cgroup`, "utf8");
  const prefix = kubepodsPrefix(cgroups);
  assert.equal(isProcessOfPod(cgroups, prefix, VICTIM), false, "nor is its process the victim's");
  assert.equal(isProcessOfPod(cgroups, prefix, UID), false, "nor a container's own process");
});

test("two directories for one pod are refused", { skip }, async () => {
  const twice = "22222222-2222-3333-4444-555555555555";
  await processIn(group("kubepods", "burstable", `pod${twice}`, "a"), true);
  await processIn(group("kubepods", "besteffort", `pod${twice}`, "a"), true);
  assert.equal(podProcesses({ roots: [root] }, twice).kind, "ambiguous");
  assert.equal(findPodNetns({ roots: [root] }, twice).kind, "refused");
});

test("a pod in the node's own network namespace is never given out", { skip }, async () => {
  const host = "33333333-2222-3333-4444-555555555555";
  await processIn(group("kubepods", `pod${host}`, "a"), false);
  const found = findPodNetns({ roots: [root] }, host);
  assert.ok(found.kind === "refused");
  assert.match(found.reason, /own network namespace/);
});

test("the systemd form is found too, and odd uids look nowhere", { skip }, async () => {
  const uid = "44444444-2222-3333-4444-555555555555";
  const slice = `kubepods-besteffort-pod${uid.replaceAll("-", "_")}.slice`;
  await processIn(group("kubepods.slice", "kubepods-besteffort.slice", slice, "cri.scope"), true);
  const found = findPodNetns({ roots: [root] }, uid);
  assert.equal(found.kind, "found");
  if (found.kind === "found") found.netns.close();
  assert.equal(podProcesses({ roots: [root] }, "../kubepods").kind, "none");
});
