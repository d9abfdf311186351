/** What this node's kernel can do for capture, found out at start; what it lacks is said. */
import { AmbitError } from "#core/runtime/errors.ts";
import type { Logger } from "#core/runtime/log.ts";
import type { NodeCapture } from "../capture/capture.ts";
import { prepareNode } from "../capture/prepare-node.ts";
import type { AgentConfig } from "./config.ts";
import { findKubeletCgroup } from "./kubelet-cgroup.ts";

/** Throws CAPTURE_UNSUPPORTED when the kernel cannot capture at all. */
export function prepareCapture(config: AgentConfig, log: Logger): NodeCapture {
  const found =
    config.kubeletCgroup === ""
      ? findKubeletCgroup()
      : { kind: "found" as const, directory: config.kubeletCgroup };
  if (found.kind === "none")
    log.warn({ reason: found.reason }, "kubelet not found: its probes are captured like other traffic");
  const outcome = prepareNode({
    bpffsDir: config.bpffsDir,
    attachment: config.attachment,
    ...(found.kind === "found" && { kubeletCgroup: found.directory }),
  });
  if (outcome.kind === "unsupported") throw new AmbitError("CAPTURE_UNSUPPORTED", outcome.message);
  for (const warning of outcome.warnings) log.warn({ reason: warning }, "capture is limited");
  return outcome.capture;
}
