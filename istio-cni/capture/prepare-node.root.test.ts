import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { probeKernel } from "./kernel-probe.ts";
import { prepareNode } from "./prepare-node.ts";
import { attachmentsUnderTest, createTopology, skipWithoutRoot } from "./testing/topology.ts";

const skip = skipWithoutRoot();

test("the kernel probe finds an attachment and leaves nothing open", { skip }, () => {
  const probe = probeKernel();
  assert.ok(probe.kind === "usable", JSON.stringify(probe));
  for (const attachment of attachmentsUnderTest()) assert.ok(probe.attachments.includes(attachment));
});

test("without a kubelet cgroup probes are not exempt; a wrong one is a warning", { skip }, () => {
  const t = createTopology();
  try {
    const plain = prepareNode({ bpffsDir: t.bpffsDir });
    assert.ok(plain.kind === "ready" && plain.capture.probeExemption === "none");
    plain.capture.close();
    const wrong = prepareNode({ bpffsDir: t.bpffsDir, kubeletCgroup: "/absent" });
    assert.ok(
      wrong.kind === "ready" && wrong.warnings.length === 1 && wrong.capture.probeExemption === "none",
    );
    wrong.capture.close();
    const cgroup = t.cgroup("kubelet");
    if (cgroup === undefined) return;
    for (let again = 0; again < 2; again++) {
      const right = prepareNode({ bpffsDir: t.bpffsDir, kubeletCgroup: cgroup });
      assert.ok(right.kind === "ready" && right.capture.probeExemption === "kubelet-cgroup");
      if (again > 0) right.capture.forgetNode();
      right.capture.close();
    }
    assert.equal(existsSync(join(t.bpffsDir, "ambit")), false, "the node's pins go with the mesh");
  } finally {
    t.close();
  }
});
