/** Writes the status of waypoints' Gateways. The leader alone. */
import type { Clock } from "#core/base/clock.ts";
import { serverSideApply } from "#core/k8s/apply.ts";
import { GATEWAY } from "#core/k8s/kinds.ts";
import type { KubeClient } from "#core/k8s/kube-client.ts";
import type { MeshGraph } from "../mesh-graph.ts";
import type { GatewayView, WaypointView } from "../waypoints/status/waypoint-view.ts";
import { conditionsToApply } from "./conditions.ts";
import { gatewayAddresses, gatewayConditions } from "./gateway-conditions.ts";
import type { WriteQueue } from "./write-queue.ts";

export interface GatewayStatusDeps {
  readonly client: KubeClient;
  readonly clock: Clock;
  readonly queue: WriteQueue;
  readonly graph: MeshGraph;
}

const FIELD_MANAGER = "ambit-controller-status";

export class GatewayStatusWriter {
  readonly #deps: GatewayStatusDeps;
  #view: WaypointView | undefined;

  constructor(deps: GatewayStatusDeps) {
    this.#deps = deps;
  }

  write(view: WaypointView): void {
    this.#view = view;
    for (const [key, one] of view.gateways) if (this.#wanted(key, one) !== undefined) this.#put(key);
  }

  /** Asked again right before the write: the newest view counts. */
  #put(key: string): void {
    const { client, queue } = this.#deps;
    queue.put(`Gateway ${key}`, async () => {
      const view = this.#view?.gateways.get(key);
      const conditions = view === undefined ? undefined : this.#wanted(key, view);
      if (view === undefined || conditions === undefined) return;
      const [namespace = "", name = ""] = key.split("/");
      await serverSideApply(
        client,
        { kind: GATEWAY, namespace, name, subresource: "status" },
        { status: { conditions, addresses: gatewayAddresses(view) } },
        { fieldManager: FIELD_MANAGER, force: true },
      );
    });
  }

  #wanted(key: string, view: GatewayView): readonly object[] | undefined {
    const { clock, graph } = this.#deps;
    const gateway = graph.index.waypoints.gateways.get(key);
    if (gateway === undefined || gateway.deleting) return undefined;
    return conditionsToApply(gateway.conditions, gatewayConditions(gateway, view), clock.nowMs());
  }
}
