/**
 * What clients may see: the resources as of the last published batch, and a log of what changed. Lags behind the graph
 * by a debounce window, never mixes two states of it: a workload and the policies that it names are published together.
 */
import { StaticCollection } from "../collections/static.ts";
import type { KeyIndex } from "../collections/key-index.ts";
import type { EncodedResource } from "../encoded-resource.ts";
import { ChangeLog } from "./change-log.ts";

export type ResourceType = "address" | "authorization" | "waypoint";

/** In the order in which a client is sent them. */
export const RESOURCE_TYPES: readonly ResourceType[] = ["authorization", "waypoint", "address"];

export class PublishedState {
  readonly logs: Readonly<Record<ResourceType, ChangeLog>> = {
    address: new ChangeLog(),
    authorization: new ChangeLog(),
    waypoint: new ChangeLog(),
  };
  readonly #resources: Readonly<Record<ResourceType, StaticCollection<EncodedResource>>> = {
    address: new StaticCollection("published addresses"),
    authorization: new StaticCollection("published authorizations"),
    waypoint: new StaticCollection("published waypoints"),
  };
  readonly #byAlias: KeyIndex<EncodedResource>;
  readonly #byService: KeyIndex<EncodedResource>;
  readonly #byNode: KeyIndex<EncodedResource>;

  constructor() {
    const addresses = this.#resources.address;
    this.#byAlias = addresses.index("alias", (resource) => resource.aliases);
    this.#byService = addresses.index("service", (resource) => resource.services);
    this.#byNode = addresses.index("node", (resource) => (resource.node === "" ? [] : [resource.node]));
  }

  publish(type: ResourceType, changes: ReadonlyMap<string, EncodedResource | undefined>): void {
    this.#resources[type].apply(changes);
    this.logs[type].append(changes.keys());
  }

  get(type: ResourceType, name: string): EncodedResource | undefined {
    return this.#resources[type].get(name);
  }

  all(type: ResourceType): Iterable<EncodedResource> {
    return this.#resources[type].values();
  }

  size(type: ResourceType): number {
    return this.#resources[type].size;
  }

  /** By resource name, else by `network/ip`: workloads before services. */
  lookUp(key: string): readonly EncodedResource[] {
    const named = this.get("address", key);
    if (named !== undefined) return [named];
    const found = this.#byAlias.get(key);
    const workloads = found.filter((resource) => resource.kind === "workload");
    return workloads.length > 0 ? workloads : found;
  }

  workloadsOfService(serviceKey: string): readonly EncodedResource[] {
    return this.#byService.get(serviceKey);
  }

  workloadsOfNode(node: string): readonly EncodedResource[] {
    return node === "" ? [] : this.#byNode.get(node);
  }
}
