/** From inside of a container's cgroup namespace, the control groups of the node are seen as the node names them. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdirSync, rmdirSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { cgroup2PathOf, cgroup2Root } from "./cgroup.ts";

const root = process.getuid?.() === 0;
const skip = root || process.env["AMBIT_REQUIRE_ROOT"] === "1" ? false : "SKIPPED: needs root";

const CODE = `
  import { cgroup2PathOf, joinCgroupNamespace } from ${JSON.stringify(join(import.meta.dirname, "cgroup.ts"))};
  const [own, parent] = ["self", process.ppid];
  const before = [cgroup2PathOf(own), cgroup2PathOf(parent)];
  joinCgroupNamespace(parent);
  console.log(JSON.stringify({ before, after: [cgroup2PathOf(own), cgroup2PathOf(parent)] }));
`;

test("a process in a cgroup namespace of its own joins the one of the node", { skip }, () => {
  const directory = join(cgroup2Root() ?? "/sys/fs/cgroup", `ambit-cgroup${process.pid}`);
  mkdirSync(directory);
  try {
    // The shell moves itself into the group; what it starts begins a namespace there, as a container runtime does.
    const inside = 'echo $$ > "$0/cgroup.procs"; unshare -C "$@"; exit $?';
    const node = [process.execPath, "--input-type=module", "-e", CODE];
    const output = execFileSync("sh", ["-c", inside, directory, ...node], { encoding: "utf8" });
    const group = `/ambit-cgroup${process.pid}`;
    const { before, after } = JSON.parse(output) as Record<"before" | "after", readonly string[]>;
    assert.deepEqual(before, ["/", "/"], "a container does not see where it is");
    assert.deepEqual(after, [group, group]);
  } finally {
    rmdirSync(directory);
  }
  assert.ok(cgroup2PathOf("self"));
});
