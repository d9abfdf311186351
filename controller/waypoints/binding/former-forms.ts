/**
 * What ztunnels go on with when a policy about connections is changed into one about requests: its last L4 form, until waypoints
 * judge by the new one. Dropping it at once would let callers in that it refused; the new one's L4 form would refuse everybody.
 * Known to this process alone: one that starts in these seconds learns from the policy's status (`waypoints/guarded.ts`) that there was a
 * version before, and closes the pods instead.
 */
import type { Authorization } from "#core/model/authorization.ts";
import { type PolicyKey, policyKey } from "#core/model/ids.ts";
import type { Change, Collection } from "../../collections/collection.ts";
import type { StaticCollection } from "../../collections/static.ts";
import type { PodWaypoint } from "../../mesh-waypoints.ts";
import { isDecidedByWaypoints, type MeshPolicy } from "../../translate/mesh-policy.ts";
import { targetedServices } from "../../translate/policy-targets.ts";
import type { BindingScope } from "./binding.ts";
import { inScope } from "./pod-binding.ts";
import type { WaypointGateway } from "../gateway/waypoint-gateway.ts";

export interface FormerForm {
  readonly key: PolicyKey;
  readonly namespace: string;
  readonly authorization: Authorization;
  /** Of the pods that it ruled. */
  readonly selector: MeshPolicy["selector"];
}

export interface FormerFormDeps {
  /** By policy; kept by `keepFormerForms` alone. */
  readonly forms: StaticCollection<FormerForm>;
  readonly policies: Collection<MeshPolicy>;
  readonly gateways: Collection<WaypointGateway>;
  readonly pods: Collection<PodWaypoint>;
  readonly rootNamespace: () => string;
}

/** Under which name the L4 form of the new version travels meanwhile. No object of a user has such a name. */
export function nextName(name: string): string {
  return `ambit_next_${name}`;
}

/** Keeps `forms` for as long as the graph lives. */
export function keepFormerForms(deps: FormerFormDeps): void {
  deps.policies.subscribe((changes) => {
    const updates = changes.flatMap((change) => updateFor(change, deps));
    if (updates.length === 0) return;
    deps.forms.apply(updates);
    release(deps);
  });
  deps.gateways.subscribe(() => release(deps));
  deps.pods.subscribe(() => release(deps));
}

function updateFor(
  { key, old, new: current }: Change<MeshPolicy>,
  { forms }: FormerFormDeps,
): readonly (readonly [string, FormerForm | undefined])[] {
  const known = forms.get(key);
  if (current === undefined || !isDecidedByWaypoints(current))
    return known === undefined ? [] : [[key, undefined]];
  if (known !== undefined || old === undefined || isDecidedByWaypoints(old)) return [];
  const { namespace, selector, authorization } = old;
  if (authorization === undefined || authorization.dryRun) return [];
  return [[key, { key: old.key, namespace, authorization, selector }]];
}

/** Those that waypoints have taken over from, and those that no automatic waypoint will. */
function release(deps: FormerFormDeps): void {
  if (deps.forms.size === 0) return;
  const keys = [...deps.forms.values()].map(({ key }) => key);
  const done = keys.filter((key) => isTakenOver(key, deps) || !isAwaited(key, deps));
  if (done.length > 0) deps.forms.apply(done.map((key) => [key, undefined]));
}

function isTakenOver(key: string, { gateways }: FormerFormDeps): boolean {
  const bindings = [...gateways.values()].flatMap(({ record }) =>
    record.bindings.filter(({ policy }) => policy === key),
  );
  return bindings.length > 0 && bindings.every(({ stage }) => stage === "enforced");
}

function isAwaited(key: string, { policies, pods, rootNamespace }: FormerFormDeps): boolean {
  const policy = policies.get(key);
  if (policy === undefined) return false;
  const isMeshWide = policy.targets.length === 0 && policy.namespace === rootNamespace();
  const scope: BindingScope =
    policy.targets.length > 0
      ? { kind: "services", names: targetedServices(policy.targets) }
      : { kind: "workloads", labels: policy.selector ?? {} };
  return [...pods.values()].some(
    ({ pod, services, standing }) =>
      standing === "automatic" &&
      (isMeshWide || pod.metadata.namespace === policy.namespace) &&
      inScope(scope, pod, services),
  );
}

/** What is pushed for a policy: itself, or its former form and, under another name, its new one. */
export function formsToPush(
  authorization: Authorization | undefined,
  former: FormerForm | undefined,
): readonly Authorization[] {
  const own = authorization === undefined ? [] : [authorization];
  if (former === undefined) return own;
  return [former.authorization, ...own.map((form) => ({ ...form, name: nextName(form.name) }))];
}

export function nextKey({ namespace, name }: MeshPolicy): PolicyKey {
  return policyKey(namespace, nextName(name));
}
