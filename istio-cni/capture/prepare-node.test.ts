import assert from "node:assert/strict";
import { tmpdir } from "node:os";
import { test } from "node:test";
import { prepareNode } from "./prepare-node.ts";

test("a directory that is not a BPF file system is refused with what to do", () => {
  const outcome = prepareNode({ bpffsDir: tmpdir() });
  assert.ok(outcome.kind === "unsupported");
  assert.match(outcome.message, /mount -t bpf/);
  assert.equal(prepareNode({ bpffsDir: "/absent" }).kind, "unsupported");
});
