/** Says on the class of waypoints that its controller is here, as often as somebody makes it anew. The leader alone. */
import type { Clock } from "#core/base/clock.ts";
import { serverSideApply } from "#core/k8s/apply.ts";
import { jsonObject } from "#core/k8s/json-read.ts";
import { GATEWAY_CLASS } from "#core/k8s/kinds.ts";
import { type KubeClient, kubeStatus } from "#core/k8s/kube-client.ts";
import type { CustomObject } from "#core/k8s/object-types.ts";
import { WAYPOINT_CLASS } from "#core/model/waypoint.ts";
import type { Collection } from "../collections/collection.ts";
import { type Condition, conditionsToApply } from "./conditions.ts";
import type { WriteQueue } from "./write-queue.ts";

export interface GatewayClassDeps {
  readonly client: KubeClient;
  readonly clock: Clock;
  readonly queue: WriteQueue;
  readonly classes: Collection<CustomObject>;
}

const CONTROLLER_NAME = "istio.io/mesh-controller";
const FIELD_MANAGER = "ambit-controller-status";

export class GatewayClassWriter {
  readonly #deps: GatewayClassDeps;

  constructor(deps: GatewayClassDeps) {
    this.#deps = deps;
    deps.classes.subscribe(() => this.writeAll());
  }

  /** Leadership began, or the class is not what it was. */
  writeAll(): void {
    if (this.#wanted() === undefined) return;
    this.#deps.queue.put(`GatewayClass ${WAYPOINT_CLASS}`, async () => {
      const conditions = this.#wanted(); // asked again: the newest state counts
      if (conditions !== undefined) await this.#apply(conditions);
    });
  }

  #wanted(): readonly object[] | undefined {
    const { classes, clock } = this.#deps;
    const found = classes.get(WAYPOINT_CLASS);
    if (found === undefined || jsonObject(found.spec)["controllerName"] !== CONTROLLER_NAME) return undefined;
    const accepted: Condition = {
      type: "Accepted",
      status: "True",
      reason: "Accepted",
      message: "the controller makes waypoints for Gateways of this class",
      observedGeneration: found.metadata.generation,
    };
    return conditionsToApply(found.conditions, [accepted], clock.nowMs());
  }

  async #apply(conditions: readonly object[]): Promise<void> {
    try {
      await serverSideApply(
        this.#deps.client,
        { kind: GATEWAY_CLASS, namespace: "", name: WAYPOINT_CLASS, subresource: "status" },
        { status: { conditions } },
        { fieldManager: FIELD_MANAGER, force: true },
      );
    } catch (error) {
      // The mesh was installed without the right to make waypoints: nobody accepts the class.
      if (kubeStatus(error) !== 403) throw error;
    }
  }
}
