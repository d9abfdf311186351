/**
 * The mesh is removed from this node: nobody is captured any more, everybody captured leaves. The order matters: labels
 * are still there and the plugin's entry is watched, so whatever brings either back has to end before they go.
 */
import { describeError } from "#core/runtime/errors.ts";
import type { Logger } from "#core/runtime/log.ts";
import type { MeshDataplane } from "./mesh-dataplane.ts";

export interface RemovalDeps {
  /** From here on the plugin is refused; a pod whose start had begun is tried again, without us. */
  readonly refuseNewPods: () => void;
  readonly stopReconciling: () => void;
  readonly stopInstalling: () => void;
  readonly uninstall: () => void;
  readonly dataplane: Pick<MeshDataplane, "pods" | "leave">;
  readonly forgetNode: () => void;
  readonly log: Logger;
}

/** Resolves when no pod of the node is captured. Never rejects. */
export async function removeFromNode(deps: RemovalDeps): Promise<void> {
  const { dataplane, log } = deps;
  deps.refuseNewPods();
  deps.stopReconciling();
  deps.stopInstalling();
  try {
    deps.uninstall();
  } catch (error) {
    log.error(
      { error: describeError(error) },
      "cni plugin not removed: pods of enrolled namespaces cannot start until its entry is taken out of the chain",
    );
  }
  for (;;) {
    await new Promise((resolve) => setImmediate(resolve)); // a pod that was let in just before is known by now
    const captured = dataplane.pods.all();
    if (captured.length === 0) break;
    await Promise.all(captured.map((entry) => dataplane.leave(entry.pod.uid)));
  }
  try {
    deps.forgetNode();
  } catch (error) {
    log.warn({ error: describeError(error) }, "pins of the node not removed");
  }
}
