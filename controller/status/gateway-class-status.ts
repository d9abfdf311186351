/** Says on the class of waypoints that its controller is here. Done by the leader when leadership begins. */
import type { Clock } from "#core/base/clock.ts";
import { serverSideApply } from "#core/k8s/apply.ts";
import { jsonObject } from "#core/k8s/json-read.ts";
import { GATEWAY_CLASS, kindPath } from "#core/k8s/kinds.ts";
import { type KubeClient, kubeStatus } from "#core/k8s/kube-client.ts";
import { projectCustom } from "#core/k8s/project.ts";
import { WAYPOINT_CLASS } from "#core/model/waypoint.ts";
import { type Condition, conditionsToApply } from "./conditions.ts";
import type { WriteQueue } from "./write-queue.ts";

export interface GatewayClassDeps {
  readonly client: KubeClient;
  readonly clock: Clock;
  readonly queue: WriteQueue;
}

const CONTROLLER_NAME = "istio.io/mesh-controller";
const FIELD_MANAGER = "ambit-controller-status";

export function acceptGatewayClass({ client, clock, queue }: GatewayClassDeps): void {
  queue.put(`GatewayClass ${WAYPOINT_CLASS}`, async () => {
    const found = await readClass(client);
    if (found === undefined || jsonObject(found.spec)["controllerName"] !== CONTROLLER_NAME) return;
    const accepted: Condition = {
      type: "Accepted",
      status: "True",
      reason: "Accepted",
      message: "the controller makes waypoints for Gateways of this class",
      observedGeneration: found.metadata.generation,
    };
    const conditions = conditionsToApply(found.conditions, [accepted], clock.nowMs());
    if (conditions === undefined) return;
    await serverSideApply(
      client,
      { kind: GATEWAY_CLASS, namespace: "", name: WAYPOINT_CLASS, subresource: "status" },
      { status: { conditions } },
      { fieldManager: FIELD_MANAGER, force: true },
    );
  });
}

/** Undefined where the mesh was installed without waypoints: no class, or no right to see it. */
async function readClass(client: KubeClient): Promise<ReturnType<typeof projectCustom> | undefined> {
  try {
    const path = kindPath(GATEWAY_CLASS, { name: WAYPOINT_CLASS });
    return projectCustom(await client.json({ method: "GET", path }));
  } catch (error) {
    if ([403, 404].includes(kubeStatus(error) ?? 0)) return undefined;
    throw error;
  }
}
