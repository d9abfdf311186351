/** ReplicaSets: as many active pods as wanted. Reads are never stale here, so that no expectations need to be kept. */
import type { V1ReplicaSet } from "@kubernetes/client-node";
import type { ApiObject } from "../object.ts";
import type { RestDeps } from "../rest/context.ts";
import { ControllerClient, controllerOf } from "./controller-client.ts";
import { givenUpFirst, isActive, isAvailable, isReady, ownedBy, podFromTemplate } from "./pod-facts.ts";

const REPLICA_SETS = "replicasets.apps";
const BURST = 500;

export function startReplicaSetController(deps: RestDeps): ControllerClient {
  const client = new ControllerClient(deps, "replicaset-controller");
  const queue = client.queue(async (key) => {
    const [namespace = "", name = ""] = key.split("/");
    const set = client.get(REPLICA_SETS, namespace, name);
    if (set === undefined) return;
    if (set.metadata.deletionTimestamp === undefined) await scalePods(client, set);
    const again = await writeStatus(client, client.get(REPLICA_SETS, namespace, name) ?? set);
    if (again > 0) queue.add(key, again);
  });
  client.watch(REPLICA_SETS, (event) => queue.add(event.key));
  client.watch("pods", ({ current }) => {
    const owner = controllerOf(current.object);
    if (owner?.kind === "ReplicaSet") queue.add(`${current.object.metadata.namespace}/${owner.name}`);
  });
  return client;
}

async function scalePods(client: ControllerClient, set: ApiObject): Promise<void> {
  const { spec } = set as unknown as V1ReplicaSet;
  const { namespace = "" } = set.metadata;
  const pods = client.list("pods", namespace).filter(ownedBy(set)).filter(isActive);
  const missing = (spec?.replicas ?? 1) - pods.length;
  for (let i = 0; i < Math.min(missing, BURST) && spec?.template !== undefined; i += 1) {
    await client.create("pods", namespace, podFromTemplate(set, spec.template));
  }
  for (const pod of pods.toSorted(givenUpFirst).slice(0, Math.max(0, -missing)))
    await client.delete("pods", pod);
}

/** Milliseconds after which the status may change without an event (minReadySeconds), or 0. */
async function writeStatus(client: ControllerClient, set: ApiObject): Promise<number> {
  const { spec } = set as unknown as V1ReplicaSet;
  const now = client.deps.clock.nowMs();
  const minReady = spec?.minReadySeconds ?? 0;
  const pods = client.list("pods", set.metadata.namespace).filter(ownedBy(set)).filter(isActive);
  const ready = pods.filter(isReady).length;
  const available = pods.filter((pod) => isAvailable(pod, minReady, now)).length;
  await client.setStatus(REPLICA_SETS, set, {
    replicas: pods.length,
    fullyLabeledReplicas: pods.length,
    readyReplicas: ready,
    availableReplicas: available,
    observedGeneration: set.metadata.generation,
  });
  return ready > available ? 1000 : 0;
}
