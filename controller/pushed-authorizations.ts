/**
 * Policies as ztunnels get them: those of users with what automatic waypoints need, those made for PeerAuthentications, and
 * the ones that let nobody but a waypoint through.
 */
import type { Authorization } from "#core/model/authorization.ts";
import { AUTOMATIC_WAYPOINT, httpDenierOf, isOnlyThroughWaypoint } from "#core/model/waypoint.ts";
import type { Workload } from "#core/model/workload.ts";
import type { Collection } from "./collections/collection.ts";
import { Derived, type ReadContext } from "./collections/derive.ts";
import { Flattened, itemsOf } from "./collections/flatten.ts";
import type { Scheduler } from "./collections/scheduler.ts";
import { formsToPush } from "./waypoints/binding/former-forms.ts";
import type { MeshPolicies } from "./mesh-policies.ts";
import type { MeshWaypoints } from "./mesh-waypoints.ts";
import { onlyThroughWaypoint, sparingWaypoints, waypointPrincipal } from "./translate/exemptions.ts";
import type { MeshPolicy } from "./translate/mesh-policy.ts";
import type { Translated } from "./translate/problem.ts";

/** By resource name. */
export function pushedAuthorizations(
  policies: MeshPolicies,
  waypoints: MeshWaypoints,
  workloads: Collection<Translated<Workload | undefined>>,
  scheduler: Scheduler,
): Collection<Authorization> {
  const named = (a: Authorization): [string, Authorization] => [`${a.namespace}/${a.name}`, a];
  const ofUsers = new Derived<MeshPolicy, readonly Authorization[]>(
    {
      name: "users' policies as pushed",
      source: policies.authorizationPolicies,
      reads: [
        waypoints.bindings,
        policies.meshConfigs,
        policies.formerForms,
      ] as unknown as readonly Collection<never>[],
      compute: (read, { key, authorization }) =>
        formsToPush(authorization, read.get(policies.formerForms, key)).map((form) =>
          sparing(form, read, policies, waypoints),
        ),
      equal: () => false,
    },
    scheduler,
  );
  return new Flattened<Authorization>(
    {
      name: "authorizations",
      equal: () => false,
      from: [
        itemsOf(ofUsers, (forms) => forms.map(named)),
        itemsOf(policies.converted, (authorization) => [named(authorization)]),
        itemsOf(policies.strict, (authorization) => [named(authorization)]),
        itemsOf(workloads, ({ output }) => (output === undefined ? [] : madeFor(output).map(named))),
      ],
    },
    scheduler,
  );
}

/** A policy of the root namespace reaches every waypoint, any other those of its own. */
function sparing(
  authorization: Authorization,
  read: ReadContext,
  policies: MeshPolicies,
  waypoints: MeshWaypoints,
): Authorization {
  const { trustDomain, rootNamespace } = policies.readMesh(read);
  const { namespace } = authorization;
  const spared = waypoints.spared(read, namespace === rootNamespace ? undefined : namespace);
  return sparingWaypoints(
    authorization,
    spared.map((of) => waypointPrincipal(trustDomain, of, AUTOMATIC_WAYPOINT)),
  );
}

/** Made from the workloads that name them, so that none is named and missing. */
function madeFor({ authorizationPolicies, namespace, trustDomain }: Workload): readonly Authorization[] {
  return authorizationPolicies.flatMap((key) => {
    const name = key.slice(key.indexOf("/") + 1);
    if (isOnlyThroughWaypoint(name)) return [onlyThroughWaypoint(namespace, name, trustDomain)];
    return httpDenierOf(name) === undefined ? [] : [withoutRules(namespace, name)];
  });
}

/** It refuses nobody by itself: its name says what destinations do. */
function withoutRules(namespace: string, name: string): Authorization {
  return { name, namespace, scope: "workload-selector", action: "deny", rules: [], dryRun: false };
}
