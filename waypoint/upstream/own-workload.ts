/** The waypoint as a workload: as the controller describes it, or, before it does, as far as the process knows itself. */
import { podWorkloadUid } from "#core/model/ids.ts";
import { NO_LOCALITY } from "#core/model/locality.ts";
import { spiffeParts } from "#core/model/spiffe-id.ts";
import type { Workload } from "#core/model/workload.ts";
import type { WaypointDeps } from "../waypoint-deps.ts";

const made = new WeakMap<WaypointDeps, Workload>();

export function ownWorkload(deps: WaypointDeps): Workload {
  let own = made.get(deps);
  if (own === undefined) {
    own = describe(deps);
    made.set(deps, own);
  }
  return deps.mesh.workloads.get(own.uid) ?? own;
}

function describe({ options }: WaypointDeps): Workload {
  const { namespace, gateway, clusterId, network, node, identity } = options;
  const { trustDomain, serviceAccount } = spiffeParts(identity);
  return {
    uid: podWorkloadUid(clusterId, namespace, gateway),
    name: gateway,
    namespace,
    addresses: [],
    network,
    tunnelProtocol: "none",
    trustDomain,
    serviceAccount,
    waypoint: undefined,
    networkGateway: undefined,
    node,
    canonicalName: gateway,
    canonicalRevision: "latest",
    workloadType: "deployment",
    workloadName: gateway,
    nativeTunnel: false,
    authorizationPolicies: [],
    status: "healthy",
    clusterId,
    hostname: "",
    services: new Map(),
    applicationTunnel: undefined,
    locality: NO_LOCALITY,
    networkMode: "standard",
    excludedPorts: [],
    capacity: 1,
  };
}
