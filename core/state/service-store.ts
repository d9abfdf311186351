/**
 * Services by key, virtual address, address block and hostname, and the endpoints of each. Endpoints come from
 * workloads and are kept for services that are not known yet ("staged"), so that order of arrival does not matter.
 */
import { type NetworkAddress, networkAddressKey } from "../model/address.ts";
import { type ServiceKey, serviceKey, type WorkloadUid } from "../model/ids.ts";
import type { Service } from "../model/service.ts";
import type { ServicePorts, Workload, WorkloadStatus } from "../model/workload.ts";
import { type Cidr, cidrContains } from "../net/cidr.ts";
import { Multimap } from "./multimap.ts";

/** One workload as member of one service. */
export interface Endpoint {
  readonly workloadUid: WorkloadUid;
  readonly ports: ServicePorts;
  readonly status: WorkloadStatus;
}

export interface ServiceLookup {
  readonly size: number;
  get(key: ServiceKey): Service | undefined;
  /** The service that a client of `clientNamespace` reaches at an address: exact VIP first, then address blocks. */
  byAddress(address: NetworkAddress, clientNamespace: string): Service | undefined;
  byHostname(hostname: string, clientNamespace: string): Service | undefined;
  endpoints(key: ServiceKey): ReadonlyMap<WorkloadUid, Endpoint>;
  values(): Iterable<Service>;
  /** Services that endpoints name and nobody has described. */
  stagedKeys(): readonly ServiceKey[];
}

const NO_ENDPOINTS: ReadonlyMap<WorkloadUid, Endpoint> = new Map();

interface BlockEntry {
  readonly network: string;
  readonly cidr: Cidr;
  readonly service: Service;
}

export class ServiceStore implements ServiceLookup {
  readonly #byKey = new Map<ServiceKey, Service>();
  readonly #byVip = new Multimap<string, Service>();
  readonly #byHostname = new Multimap<string, Service>();
  readonly #endpoints = new Map<ServiceKey, Map<WorkloadUid, Endpoint>>();
  #blocks: readonly BlockEntry[] = [];

  get size(): number {
    return this.#byKey.size;
  }

  get(key: ServiceKey): Service | undefined {
    return this.#byKey.get(key);
  }

  byAddress(address: NetworkAddress, clientNamespace: string): Service | undefined {
    const exact = bestFor(clientNamespace, this.#byVip.get(networkAddressKey(address)));
    return exact ?? this.#byBlock(address, clientNamespace);
  }

  byHostname(hostname: string, clientNamespace: string): Service | undefined {
    return bestFor(clientNamespace, this.#byHostname.get(hostname));
  }

  endpoints(key: ServiceKey): ReadonlyMap<WorkloadUid, Endpoint> {
    return this.#endpoints.get(key) ?? NO_ENDPOINTS;
  }

  values(): Iterable<Service> {
    return this.#byKey.values();
  }

  stagedKeys(): readonly ServiceKey[] {
    return [...this.#endpoints.keys()].filter((key) => !this.#byKey.has(key)).toSorted();
  }

  put(service: Service): void {
    const key = serviceKey(service.namespace, service.hostname);
    this.delete(key);
    this.#byKey.set(key, service);
    for (const vip of vipKeys(service)) this.#byVip.add(vip, service);
    this.#byHostname.add(service.hostname, service);
    if (service.cidrVips.length > 0) {
      this.#blocks = [...this.#blocks, ...service.cidrVips.map((block) => ({ ...block, service }))];
    }
  }

  /** Forgets the service; its endpoints stay staged until their workloads go. */
  delete(key: ServiceKey): boolean {
    const service = this.#byKey.get(key);
    if (service === undefined) return false;
    this.#byKey.delete(key);
    for (const vip of vipKeys(service)) this.#byVip.remove(vip, service);
    this.#byHostname.remove(service.hostname, service);
    if (service.cidrVips.length > 0) this.#blocks = this.#blocks.filter((b) => b.service !== service);
    return true;
  }

  addEndpoints(workload: Workload): void {
    for (const [key, ports] of workload.services) {
      const endpoints = this.#endpoints.get(key) ?? new Map<WorkloadUid, Endpoint>();
      endpoints.set(workload.uid, { workloadUid: workload.uid, ports, status: workload.status });
      this.#endpoints.set(key, endpoints);
    }
  }

  removeEndpoints(workload: Workload): void {
    for (const key of workload.services.keys()) {
      const endpoints = this.#endpoints.get(key);
      endpoints?.delete(workload.uid);
      if (endpoints?.size === 0) this.#endpoints.delete(key);
    }
  }

  /** Longest block first; in the client's namespace before that, canonical after. */
  #byBlock(address: NetworkAddress, clientNamespace: string): Service | undefined {
    const rank = (entry: BlockEntry): number =>
      (entry.service.namespace === clientNamespace ? 1_000 : 0) +
      entry.cidr.prefixLength * 2 +
      (entry.service.canonical ? 1 : 0);
    return this.#blocks
      .filter((b) => b.network === address.network && cidrContains(b.cidr, address.ip))
      .filter((b) => isVisible(b.service, clientNamespace))
      .toSorted((a, b) => rank(b) - rank(a) || byKeyOrder(a.service, b.service))[0]?.service;
  }
}

function vipKeys(service: Service): ReadonlySet<string> {
  return new Set(service.vips.map(networkAddressKey));
}

/** Among services of one address or name: visible ones; the client's own namespace, canonical, first by key. */
function bestFor(clientNamespace: string, candidates: readonly Service[]): Service | undefined {
  const rank = (service: Service): number =>
    (service.namespace === clientNamespace ? 2 : 0) + (service.canonical ? 1 : 0);
  const visible = candidates.filter((service) => isVisible(service, clientNamespace));
  if (visible.length < 2) return visible[0];
  return visible.toSorted((a, b) => rank(b) - rank(a) || byKeyOrder(a, b))[0];
}

function isVisible(service: Service, clientNamespace: string): boolean {
  return service.visibility === "public" || service.namespace === clientNamespace;
}

function byKeyOrder(a: Service, b: Service): number {
  return serviceKey(a.namespace, a.hostname) < serviceKey(b.namespace, b.hostname) ? -1 : 1;
}
