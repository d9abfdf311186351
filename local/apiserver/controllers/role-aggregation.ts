/** ClusterRoles with an aggregationRule hold the rules of every ClusterRole that their selectors choose. */
import type { V1ClusterRole } from "@kubernetes/client-node";
import { CLUSTER_ROLES } from "../auth/rbac.ts";
import { deepEqual } from "../object.ts";
import type { RestDeps } from "../rest/context.ts";
import { selectorMatches } from "../rest/selectors.ts";
import { ControllerClient } from "./controller-client.ts";

export function startRoleAggregation(deps: RestDeps): ControllerClient {
  const client = new ControllerClient(deps, "clusterrole-aggregation-controller");
  const queue = client.queue(async (name) => {
    const role = client.get(CLUSTER_ROLES, "", name);
    const selectors = (role as unknown as V1ClusterRole | undefined)?.aggregationRule?.clusterRoleSelectors;
    if (role === undefined || selectors === undefined) return;
    const members = client
      .list(CLUSTER_ROLES)
      .filter(
        (other) =>
          other !== role && selectors.some((selector) => selectorMatches(selector, other.metadata.labels)),
      );
    const rules = members
      .toSorted((a, b) => (a.metadata.name < b.metadata.name ? -1 : 1))
      .flatMap((member) => (member as unknown as V1ClusterRole).rules ?? []);
    const distinct = rules.filter((rule, i) => rules.findIndex((other) => deepEqual(other, rule)) === i);
    await client.update(CLUSTER_ROLES, role, (live) => ({ ...live, rules: distinct }));
  });
  client.watch(CLUSTER_ROLES, () => {
    for (const role of client.list(CLUSTER_ROLES))
      if (role["aggregationRule"] !== undefined) queue.add(role.metadata.name);
  });
  return client;
}
