/** Of which policies a waypoint's text is made, in the graph. */
import type { MeshGraph } from "../mesh-graph.ts";
import type { WaypointGateway } from "../waypoints/gateway/waypoint-gateway.ts";
import { isForWaypoints } from "../translate/mesh-policy.ts";
import { gatewayText } from "./gateway-text.ts";

/** What replicas must agree on about a waypoint: the policies of the namespaces that it may serve, and of the whole mesh. */
export function gatewayTexts({ index, sources }: MeshGraph): (gateway: WaypointGateway) => string {
  const { podsByJudge, servicesByJudge } = index.waypoints;
  const byNamespace = index.policies.authorizationPolicies.index(
    "policies that may need waypoints",
    (policy) => (policy.request !== undefined && isForWaypoints(policy) ? [policy.namespace] : []),
  );
  return (gateway) => {
    const { key, namespace, record } = gateway;
    const served = gateway.automatic
      ? []
      : [
          ...servicesByJudge.get(key).map(({ service }) => service.metadata.namespace),
          ...podsByJudge.get(key).map(({ pod }) => pod.metadata.namespace),
        ];
    const namespaces = new Set([namespace, index.mesh().rootNamespace, ...served]);
    const policies = [...namespaces].flatMap((name) => byNamespace.get(name).map((policy) => policy.key));
    const bound = record.bindings.map(({ policy }) => policy);
    const all = [...new Set([...policies, ...bound])];
    return gatewayText(gateway, new Map(all.map((one) => [one, sources.authorizationPolicies.get(one)])));
  };
}
