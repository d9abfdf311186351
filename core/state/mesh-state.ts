/**
 * Everything this node knows of the mesh. Changed only by `commit`, in one synchronous batch: no reader ever sees
 * half an update, and a decision that does not await sees one version.
 */
import type { Authorization } from "../model/authorization.ts";
import {
  type PolicyKey,
  policyKey,
  type ServiceKey,
  serviceKey,
  workloadUid,
  type WorkloadUid,
} from "../model/ids.ts";
import type { Service } from "../model/service.ts";
import type { Workload } from "../model/workload.ts";
import { type PolicyLookup, PolicyStore } from "./policy-store.ts";
import { type ServiceLookup, ServiceStore } from "./service-store.ts";
import { type WorkloadLookup, WorkloadStore } from "./workload-store.ts";

export type MeshResource =
  | { readonly kind: "workload"; readonly workload: Workload }
  | { readonly kind: "service"; readonly service: Service }
  | { readonly kind: "authorization"; readonly policy: Authorization };

/** A name that the controller no longer serves, in the name space of its resource type. */
export interface Removal {
  readonly type: "address" | "authorization";
  readonly name: string;
}

export interface MeshDelta {
  readonly upserts: readonly MeshResource[];
  readonly removals: readonly Removal[];
}

/** What one commit touched. */
export interface StateChange {
  readonly workloads: ReadonlySet<WorkloadUid>;
  readonly services: ReadonlySet<ServiceKey>;
  readonly policies: ReadonlySet<PolicyKey>;
}

/** The read side: what pure decisions receive. */
export interface MeshView {
  /** Grows by one with each commit. */
  readonly version: number;
  readonly workloads: WorkloadLookup;
  readonly services: ServiceLookup;
  readonly policies: PolicyLookup;
}

interface MutableChange {
  readonly workloads: Set<WorkloadUid>;
  readonly services: Set<ServiceKey>;
  readonly policies: Set<PolicyKey>;
}

export class MeshState implements MeshView {
  readonly #workloads = new WorkloadStore();
  readonly #services = new ServiceStore();
  readonly #policies = new PolicyStore();
  readonly #listeners = new Set<(change: StateChange) => void>();
  #version = 0;

  get version(): number {
    return this.#version;
  }

  get workloads(): WorkloadLookup {
    return this.#workloads;
  }

  get services(): ServiceLookup {
    return this.#services;
  }

  get policies(): PolicyLookup {
    return this.#policies;
  }

  /** Applies upserts, then removals, then tells subscribers, all before it returns. */
  commit(delta: MeshDelta): StateChange {
    const change: MutableChange = { workloads: new Set(), services: new Set(), policies: new Set() };
    for (const resource of delta.upserts) this.#upsert(resource, change);
    for (const removal of delta.removals) this.#remove(removal, change);
    this.#version++;
    for (const listener of this.#listeners) listener(change);
    return change;
  }

  /** Called synchronously after each commit. Returns the function that ends it. */
  subscribe(listener: (change: StateChange) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  #upsert(resource: MeshResource, change: MutableChange): void {
    if (resource.kind === "workload") {
      const { workload } = resource;
      const previous = this.#workloads.put(workload);
      if (previous !== undefined) this.#services.removeEndpoints(previous);
      this.#services.addEndpoints(workload);
      change.workloads.add(workload.uid);
    } else if (resource.kind === "service") {
      this.#services.put(resource.service);
      change.services.add(serviceKey(resource.service.namespace, resource.service.hostname));
    } else {
      this.#policies.put(resource.policy);
      change.policies.add(policyKey(resource.policy.namespace, resource.policy.name));
    }
  }

  #remove({ type, name }: Removal, change: MutableChange): void {
    if (type === "authorization") {
      if (this.#policies.delete(name as PolicyKey)) change.policies.add(name as PolicyKey);
      return;
    }
    const workload = this.#workloads.delete(workloadUid(name));
    if (workload !== undefined) {
      this.#services.removeEndpoints(workload);
      change.workloads.add(workload.uid);
    } else if (this.#services.delete(name as ServiceKey)) {
      change.services.add(name as ServiceKey);
    }
  }
}
