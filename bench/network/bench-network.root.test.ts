/** The benchmark's namespaces: what is inside, and that nothing of them stays, however the run ends. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, readFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { inNetns } from "#core/linux/netns.ts";
import { CONGESTION_CONTROLS, createBenchNetwork } from "./bench-network.ts";

const isRoot = process.getuid?.() === 0;
if (!isRoot && process.env["AMBIT_REQUIRE_ROOT"] === "1")
  throw new Error("AMBIT_REQUIRE_ROOT=1, but not root");
const options = { skip: isRoot ? false : "needs root: network namespaces", timeout: 30_000 };

async function untilGone(paths: readonly string[]): Promise<void> {
  while (paths.some((path) => existsSync(path))) await sleep(20); // bounded by the test's timeout
}

test("a congestion control that no namespace may choose is refused, and nothing stays", options, async () => {
  const directory = mkdtempSync(join(tmpdir(), "ambit-bench-test-"));
  assert.throws(() => createBenchNetwork("warp", directory), /warp is not allowed/);
  await untilGone([directory, `/run/netns/ambit-bench${process.pid}-a`]);
});

test("both sides have one fixed congestion control; closing removes names and folder", options, async () => {
  const directory = mkdtempSync(join(tmpdir(), "ambit-bench-test-"));
  const network = createBenchNetwork(undefined, directory);
  assert.ok(CONGESTION_CONTROLS.includes(network.congestionControl));
  for (const netns of Object.values(network.netns)) {
    const set = inNetns(netns, () => readFileSync("/proc/sys/net/ipv4/tcp_congestion_control", "utf8"));
    assert.equal(set.trim(), network.congestionControl);
  }
  network.close();
  await untilGone([network.path.a, network.path.b, directory]);
});

test("a run that is killed leaves neither names nor folder", options, async () => {
  const directory = mkdtempSync(join(tmpdir(), "ambit-bench-test-"));
  const program = [
    `import { createBenchNetwork } from ${JSON.stringify(join(import.meta.dirname, "bench-network.ts"))};`,
    `createBenchNetwork(undefined, ${JSON.stringify(directory)});`,
    'process.stdout.write("up");',
    "setInterval(() => undefined, 1000);",
  ].join("\n");
  const child = spawn(process.execPath, ["--input-type=module", "-e", program], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  await once(child.stdout, "data");
  const paths = ["a", "b"].map((side) => `/run/netns/ambit-bench${child.pid}-${side}`);
  assert.ok(paths.every((path) => existsSync(path)));
  child.kill("SIGKILL");
  await untilGone([...paths, directory]);
});
