/**
 * HOT PATH. Step W3: may this caller do this? First what it dialled, then the endpoint that was chosen; neither speaks for the other. Requests and
 * plain connections alike; for the latter `http` is undefined.
 */
import type { HttpFacts } from "#core/authz/request/request-facts.ts";
import type { RequestPolicySet } from "#core/authz/request/policy-sets.ts";
import type { Reason } from "../http/reasons.ts";
import type { Caller } from "../listener/caller.ts";
import { servicesOnPort } from "../listener/port-protocol.ts";
import type { WorkloadRoute } from "../listener/target-route.ts";
import type { Endpoint } from "../upstream/endpoint.ts";
import type { WaypointSnapshot } from "./snapshot.ts";
import { judge, type Judgement } from "./verdict.ts";

export interface Question {
  readonly caller: Caller;
  readonly snapshot: WaypointSnapshot;
  readonly http: HttpFacts | undefined;
  readonly judgement: Judgement;
}

/** Undefined: allowed. What is not bound (any more) has no policies here, and so no permission. */
export function authorizeDestination(question: Question): Reason | undefined {
  const { caller, snapshot, http, judgement } = question;
  const { route, peer } = caller;
  if (route.kind === "workload") return authorizeWorkloadAddress(question, route);
  const policies = snapshot.services.get(route.key);
  if (policies === undefined) return "not-bound";
  return judge(judgement, policies, { peer, destination: route.dialled, http });
}

/**
 * By its own address a workload is no way around its services: the policies of each that has it behind the port that was dialled count, with the
 * port of the service.
 */
function authorizeWorkloadAddress(
  { caller, snapshot, http, judgement }: Question,
  { workload, dialled }: WorkloadRoute,
): Reason | undefined {
  const { mesh } = caller.context.deps;
  const current = mesh.workloads.get(workload.uid);
  if (current === undefined || !snapshot.workloads.has(workload.uid)) return "not-bound";
  for (const { key, port } of servicesOnPort(mesh, current, dialled.port)) {
    const policies = snapshot.services.get(key);
    if (policies === undefined) continue;
    const destination = { ip: dialled.ip, port: port.servicePort };
    const reason = judge(judgement, policies, { peer: caller.peer, destination, http });
    if (reason !== undefined) return reason;
  }
  return undefined;
}

/** Of a workload that no policy covers nothing is asked. */
export function authorizeEndpoint(
  { caller, snapshot, http, judgement }: Question,
  { workload, address }: Endpoint,
): Reason | undefined {
  const policies = snapshot.workloads.get(workload.uid);
  if (policies === undefined) return undefined;
  return judge(judgement, policies, { peer: caller.peer, destination: address, http });
}

/** Every set that judges what goes this way. */
export function policiesOf(
  { route, context }: Caller,
  snapshot: WaypointSnapshot,
  endpoint: Endpoint | undefined,
): readonly RequestPolicySet[] {
  const keys =
    route.kind === "service"
      ? [route.key]
      : servicesOnPort(context.deps.mesh, route.workload, route.dialled.port).map(({ key }) => key);
  const ofServices = keys.map((key) => snapshot.services.get(key));
  const ofEndpoint = endpoint === undefined ? undefined : snapshot.workloads.get(endpoint.workload.uid);
  return [...ofServices, ofEndpoint].filter((set) => set !== undefined);
}
