/**
 * Workloads by uid, address, pod name, node and hostname. Readers see the `WorkloadLookup` side; only
 * `MeshState.commit` writes. The answer of every lookup depends on what is stored, never on the order of arrival.
 */
import { type NamespacedHostname, type NetworkAddress, networkAddressKey } from "../model/address.ts";
import type { WorkloadUid } from "../model/ids.ts";
import type { Workload } from "../model/workload.ts";
import { Multimap } from "./multimap.ts";

export interface WorkloadLookup {
  readonly size: number;
  get(uid: WorkloadUid): Workload | undefined;
  /** Who answers at an address. HostNetwork workloads are reachable through services only. */
  byAddress(address: NetworkAddress): Workload | undefined;
  /** Pods of that name: more than one only when several clusters share the mesh. */
  byPodName(namespace: string, name: string): readonly Workload[];
  onNode(node: string): readonly Workload[];
  byHostname(name: NamespacedHostname): Workload | undefined;
  values(): Iterable<Workload>;
}

export class WorkloadStore implements WorkloadLookup {
  readonly #byUid = new Map<WorkloadUid, Workload>();
  readonly #byAddress = new Multimap<string, Workload>();
  readonly #byPodName = new Multimap<string, Workload>();
  readonly #byNode = new Multimap<string, Workload>();
  readonly #byHostname = new Multimap<string, Workload>();

  get size(): number {
    return this.#byUid.size;
  }

  get(uid: WorkloadUid): Workload | undefined {
    return this.#byUid.get(uid);
  }

  byAddress(address: NetworkAddress): Workload | undefined {
    return best(this.#byAddress.get(networkAddressKey(address)));
  }

  byPodName(namespace: string, name: string): readonly Workload[] {
    return this.#byPodName.get(`${namespace}/${name}`);
  }

  onNode(node: string): readonly Workload[] {
    return this.#byNode.get(node);
  }

  byHostname(name: NamespacedHostname): Workload | undefined {
    return best(this.#byHostname.get(`${name.namespace}/${name.hostname}`));
  }

  values(): Iterable<Workload> {
    return this.#byUid.values();
  }

  /** Stores or replaces; the previous value is returned. */
  put(workload: Workload): Workload | undefined {
    const previous = this.delete(workload.uid);
    this.#byUid.set(workload.uid, workload);
    for (const [index, key] of this.#keys(workload)) index.add(key, workload);
    return previous;
  }

  delete(uid: WorkloadUid): Workload | undefined {
    const workload = this.#byUid.get(uid);
    if (workload === undefined) return undefined;
    this.#byUid.delete(uid);
    for (const [index, key] of this.#keys(workload)) index.remove(key, workload);
    return workload;
  }

  #keys(workload: Workload): readonly (readonly [Multimap<string, Workload>, string])[] {
    const { namespace, network } = workload;
    const addresses = workload.networkMode === "host-network" ? [] : new Set(workload.addresses);
    return [
      ...[...addresses].map((ip) => [this.#byAddress, networkAddressKey({ network, ip })] as const),
      ...(isPod(workload) ? [[this.#byPodName, `${namespace}/${workload.name}`] as const] : []),
      ...(workload.node === "" ? [] : [[this.#byNode, workload.node] as const]),
      ...(workload.hostname === "" ? [] : [[this.#byHostname, `${namespace}/${workload.hostname}`] as const]),
    ];
  }
}

/** Whether the uid has the form that controllers give to pods (`<cluster>//Pod/<namespace>/<name>`). */
function isPod(workload: Workload): boolean {
  return workload.uid.includes("//Pod/");
}

/** Several workloads claim one address: an enrolled pod, then a pod, then anything with a tunnel; then the healthy one. */
function best(candidates: readonly Workload[]): Workload | undefined {
  if (candidates.length < 2) return candidates[0];
  return candidates.toSorted(byClaim)[0];
}

function byClaim(a: Workload, b: Workload): number {
  return claim(b) - claim(a) || (a.uid < b.uid ? -1 : 1);
}

function claim(workload: Workload): number {
  const pod = isPod(workload) ? 4 : 0;
  const tunnel = workload.tunnelProtocol === "hbone" ? 2 : 0;
  return pod + tunnel + (workload.status === "healthy" ? 1 : 0);
}
