/** Writes `istio.io/WaypointBound` on Services whose labels name a waypoint. The leader alone. */
import type { Clock } from "#core/base/clock.ts";
import { serverSideApply } from "#core/k8s/apply.ts";
import { SERVICE } from "#core/k8s/kinds.ts";
import type { KubeClient } from "#core/k8s/kube-client.ts";
import type { Collection } from "../collections/collection.ts";
import type { ServiceWaypoint } from "../mesh-waypoints.ts";
import { conditionsToApply } from "./conditions.ts";
import { boundConditions, boundConditionsOf } from "./waypoint-bound.ts";
import type { WriteQueue } from "./write-queue.ts";

export interface WaypointBoundDeps {
  readonly client: KubeClient;
  readonly clock: Clock;
  readonly queue: WriteQueue;
  readonly services: Collection<ServiceWaypoint>;
}

const FIELD_MANAGER = "ambit-controller-status";

export class WaypointBoundWriter {
  readonly #deps: WaypointBoundDeps;
  /** By service: its version and what was written to it. Until the watch has told of that write it is not repeated. */
  readonly #written = new Map<string, string>();

  constructor(deps: WaypointBoundDeps) {
    this.#deps = deps;
    deps.services.subscribe((changes) => {
      for (const { key, new: service } of changes) {
        if (service === undefined) this.#written.delete(key);
        else this.#look(key);
      }
    });
  }

  /** Leadership began. */
  writeAll(): void {
    for (const [key] of this.#deps.services.entries()) this.#look(key);
  }

  #look(key: string): void {
    if (this.#wanted(key) === undefined) return;
    const { client, queue } = this.#deps;
    queue.put(`Service ${key}`, async () => {
      const wanted = this.#wanted(key); // asked again: the newest state counts
      if (wanted === undefined) return;
      const [namespace = "", name = ""] = key.split("/");
      await serverSideApply(
        client,
        { kind: SERVICE, namespace, name, subresource: "status" },
        { status: { conditions: wanted.conditions } },
        { fieldManager: FIELD_MANAGER, force: true },
      );
      this.#written.set(key, wanted.mark);
    });
  }

  #wanted(key: string): { readonly conditions: readonly object[]; readonly mark: string } | undefined {
    const { clock, services } = this.#deps;
    const service = services.get(key);
    if (service === undefined) return undefined;
    const wanted = boundConditions(service);
    const conditions = conditionsToApply(boundConditionsOf(service), wanted, clock.nowMs());
    const mark = `${service.service.metadata.resourceVersion} ${JSON.stringify(wanted)}`;
    return conditions === undefined || mark === this.#written.get(key) ? undefined : { conditions, mark };
  }
}
