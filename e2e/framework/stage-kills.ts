/** Kills the controller at the moment in which it has written that a binding is in a stage. */
import { createInterface } from "node:readline";
import { jsonObject } from "#core/k8s/json-read.ts";
import { eventually } from "./eventually.ts";
import type { Mesh } from "./mesh.ts";
import { killContainer, podPids } from "./node-inside.ts";
import { onlyPod, removePod } from "./pods.ts";
import { AUTOMATIC, gatewaysPath, stagesOn } from "./waypoints.ts";
import { SYSTEM } from "./ztunnel-state.ts";

export async function killController(mesh: Mesh): Promise<void> {
  const { node, uid, container } = await onlyPod(mesh.client, SYSTEM, "app=ambit-controller");
  killContainer(mesh.node(node), uid, container);
}

/** Another pod, which no kubelet makes wait for what the one before has been through. */
export async function renewController(mesh: Mesh): Promise<void> {
  const old = await onlyPod(mesh.client, SYSTEM, "app=ambit-controller");
  await removePod(mesh.client, old);
  await onlyPod(mesh.client, SYSTEM, "app=ambit-controller");
}

/** Once in each of `stages`, while `change` sets it in motion; resolves after the last one. Gives the stages in their order. */
export async function killAtEachStage(
  mesh: Mesh,
  namespace: string,
  stages: readonly string[],
  change: () => Promise<void>,
): Promise<readonly string[]> {
  const { node, uid, container } = await onlyPod(mesh.client, SYSTEM, "app=ambit-controller");
  const left = new Set(stages);
  const killed: string[] = [];
  const query = { watch: "true", fieldSelector: `metadata.name=${AUTOMATIC}` };
  const watch = await mesh.client.stream({ method: "GET", path: gatewaysPath(namespace), query });
  watch.response.on("error", () => undefined); // its end
  const lines = createInterface({ input: watch.response });
  const reading = (async () => {
    for await (const line of lines) {
      const stage = stagesOn(jsonObject(jsonObject(JSON.parse(line))["object"])).find((one) => left.has(one));
      if (stage === undefined) continue;
      await eventually("a controller to kill", () =>
        podPids(mesh.node(node), uid, container).length > 0 ? true : undefined,
      );
      killContainer(mesh.node(node), uid, container);
      left.delete(stage);
      killed.push(stage);
      if (left.size === 0) return;
    }
  })();
  try {
    await change();
    await eventually("every stage", () => (left.size === 0 ? true : undefined), 90_000);
  } catch (error) {
    throw new Error(`killed in ${killed.join(", ")}; not seen: ${[...left].join(", ")}`, { cause: error });
  } finally {
    lines.close();
    watch.abort();
    await reading;
  }
  return killed;
}
