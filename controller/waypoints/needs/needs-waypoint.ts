/**
 * Pure. From configuration to "which automatic waypoints must exist, what they bind, and why". A namespace needs one exactly
 * while a policy says something that ztunnels cannot enforce, about pods or services that nobody gave to another waypoint.
 */
import { GATEWAY } from "#core/k8s/kinds.ts";
import type { PodObject, ServiceObject } from "#core/k8s/object-types.ts";
import type { PolicyKey } from "#core/model/ids.ts";
import { onlyObserves, type RequestPolicy } from "#core/model/request-policy.ts";
import { WAYPOINT_CLASS } from "#core/model/waypoint.ts";
import { isForWaypoints } from "../../translate/mesh-policy.ts";
import { isServiceTarget, type PolicyTarget } from "../../translate/policy-targets.ts";
import { selectorMatches, serviceSelects } from "../../translate/selectors.ts";
import { type PodStanding, serviceChoice, type WaypointChoice } from "../../translate/waypoint-choice.ts";
import type { BindingScope, WantedBinding } from "../binding/binding.ts";
import {
  type ContentFacts,
  isNeeded,
  namespaceContents,
  type NamespaceContent,
} from "./namespace-content.ts";

/** A policy as far as this question goes. */
export interface PolicyWish {
  readonly key: PolicyKey;
  readonly namespace: string;
  /** Paths of what ztunnels cannot enforce; empty for an L4 policy. */
  readonly l7Fields: readonly string[];
  /** Undefined: the whole namespace, or the whole mesh. */
  readonly selector: Readonly<Record<string, string>> | undefined;
  readonly targets: readonly PolicyTarget[];
  /** What waypoints judge by. */
  readonly request: Pick<RequestPolicy, "action" | "dryRun"> | undefined;
}

export interface NeedFacts extends ContentFacts {
  readonly rootNamespace: string;
  readonly policies: readonly PolicyWish[];
  /** `namespace/name` of waypoints that people made. */
  readonly explicitWaypoints: ReadonlySet<string>;
  /** Whether callers of what the policy covers in the namespace are held, not let through, meanwhile. */
  readonly immediately: (namespace: string, policy: PolicyKey) => boolean;
}

/** Why something that a policy covers is not covered by an automatic waypoint. */
export type Gap =
  | { readonly reason: "TargetNotFound"; readonly path: string; readonly what: string }
  | { readonly reason: "UnsupportedTarget"; readonly path: string; readonly what: string }
  | { readonly reason: "OptedOut"; readonly what: string }
  | { readonly reason: "HostNetwork"; readonly what: string }
  | { readonly reason: "NotEnrolled"; readonly what: string };

export interface WaypointNeeds {
  /** By namespace; each with at least one binding. */
  readonly namespaces: ReadonlyMap<string, readonly WantedBinding[]>;
  /** By policy. */
  readonly gaps: ReadonlyMap<PolicyKey, readonly Gap[]>;
  /** Policies that (also) concern waypoints that people made, with their names. */
  readonly explicit: ReadonlyMap<PolicyKey, readonly string[]>;
  /** Services that lead to pods of a policy's targets and are none of them: it does not judge who comes that way. */
  readonly waysAround: ReadonlyMap<PolicyKey, readonly string[]>;
}

interface Result {
  readonly wanted: Map<string, WantedBinding[]>;
  readonly gaps: Map<PolicyKey, Gap[]>;
  readonly explicit: Map<PolicyKey, string[]>;
  readonly waysAround: Map<PolicyKey, string[]>;
}

export function needsWaypoint(facts: NeedFacts): WaypointNeeds {
  const result: Result = {
    wanted: new Map(),
    gaps: new Map(),
    explicit: new Map(),
    waysAround: new Map(),
  };
  const relevant = facts.policies.filter(isForWaypoints);
  if (relevant.length > 0) {
    const contents = namespaceContents(facts);
    for (const policy of relevant.toSorted((a, b) => (a.key < b.key ? -1 : 1))) {
      if (policy.targets.length > 0) byTargets(policy, facts, contents, result);
      else bySelector(policy, facts, contents, result);
    }
  }
  const { wanted: namespaces, gaps, explicit, waysAround } = result;
  return { namespaces, gaps, explicit, waysAround };
}

function bySelector(
  policy: PolicyWish,
  facts: NeedFacts,
  contents: ReadonlyMap<string, NamespaceContent>,
  result: Result,
): void {
  const isMeshWide = policy.namespace === facts.rootNamespace;
  for (const [namespace, content] of contents) {
    if (namespace !== policy.namespace && !isMeshWide) continue;
    const labels = policy.selector ?? {};
    const covered = content.pods.filter(({ pod }) => selectorMatches(labels, pod.metadata.labels));
    for (const { pod, standing } of covered) noteGap(policy, pod, standing, { isMeshWide, result });
    if (isNeeded(content, covered, facts))
      want(namespace, wishOf(policy, "spec", { kind: "workloads", labels }), { facts, result });
  }
}

function byTargets(
  policy: PolicyWish,
  facts: NeedFacts,
  contents: ReadonlyMap<string, NamespaceContent>,
  result: Result,
): void {
  const bound: string[] = [];
  const content = contents.get(policy.namespace);
  for (const target of policy.targets) {
    if (isServiceTarget(target)) byService(policy, target, { content, facts, bound, result });
    else if (target.group === GATEWAY.group) byGateway(policy, target, facts, result);
    else gap(policy, targetGap("UnsupportedTarget", policy, target), result);
  }
  if (bound.length === 0) return;
  const scope: BindingScope = { kind: "services", names: bound.toSorted() };
  const field = policy.targets.find((t) => bound.includes(t.name))?.path ?? "spec.targetRefs";
  want(policy.namespace, wishOf(policy, field, scope), { facts, result });
}

function wishOf({ key, l7Fields, request }: PolicyWish, field: string, scope: BindingScope): WantedBinding {
  const observes = request !== undefined && onlyObserves(request);
  return { policy: key, field: l7Fields[0] ?? field, scope, ...(observes && { observes }) };
}

function targetGap(
  reason: "TargetNotFound" | "UnsupportedTarget",
  { namespace }: PolicyWish,
  { path, kind, name }: PolicyTarget,
): Gap {
  return { reason, path, what: `${kind} ${namespace}/${name}` };
}

/** Waypoints that people made are theirs: the policy goes there, and no automatic one is needed. */
function byGateway(policy: PolicyWish, target: PolicyTarget, facts: NeedFacts, result: Result): void {
  const isClass = target.kind === "GatewayClass" && target.name === WAYPOINT_CLASS;
  if (isClass && policy.namespace === facts.rootNamespace) {
    for (const key of facts.explicitWaypoints) push(result.explicit, policy.key, key);
    return;
  }
  if (target.kind !== "Gateway") {
    gap(policy, targetGap("UnsupportedTarget", policy, target), result);
    return;
  }
  const key = `${policy.namespace}/${target.name}`;
  if (facts.explicitWaypoints.has(key)) push(result.explicit, policy.key, key);
  else gap(policy, targetGap("TargetNotFound", policy, target), result);
}

interface ServiceTarget {
  readonly content: NamespaceContent | undefined;
  readonly facts: NeedFacts;
  readonly bound: string[];
  readonly result: Result;
}

function byService(policy: PolicyWish, target: PolicyTarget, at: ServiceTarget): void {
  const service = at.content?.services.get(target.name);
  if (service === undefined || at.content === undefined)
    gap(policy, targetGap("TargetNotFound", policy, target), at.result);
  else if (service.type === "ExternalName")
    gap(policy, targetGap("UnsupportedTarget", policy, target), at.result);
  else targetService(policy, service, { ...at, content: at.content });
}

function targetService(
  policy: PolicyWish,
  service: ServiceObject,
  at: {
    readonly content: NamespaceContent;
    readonly facts: NeedFacts;
    readonly bound: string[];
    readonly result: Result;
  },
): void {
  const { content, facts, bound, result } = at;
  const choice = choiceThatCounts(service, content, facts);
  if (choice.kind !== "opted-out") noteWaysAround(policy, service, content, result);
  if (choice.kind === "explicit") push(result.explicit, policy.key, `${choice.namespace}/${choice.name}`);
  else if (choice.kind === "opted-out") gap(policy, { reason: "OptedOut", what: choice.by }, result);
  else {
    const covered = content.pods.filter(({ pod }) => serviceSelects(service.selector, pod.metadata.labels));
    for (const { pod, standing } of covered) noteGap(policy, pod, standing, { isMeshWide: false, result });
    if (isNeeded(content, covered, facts)) bound.push(service.metadata.name);
  }
}

function choiceThatCounts(
  service: ServiceObject,
  { object }: NamespaceContent,
  { counts }: NeedFacts,
): WaypointChoice {
  const choice = serviceChoice(service, object);
  return choice.kind === "explicit" && counts?.(choice) === false ? { kind: "automatic" } : choice;
}

/** Services that share pods with one of the targets, and are none. */
function noteWaysAround(
  policy: PolicyWish,
  service: ServiceObject,
  { services, pods }: NamespaceContent,
  result: Result,
): void {
  for (const other of services.values()) {
    const { namespace, name } = other.metadata;
    if (isTarget(policy, name) || other.type === "ExternalName") continue;
    const leadsThere = pods.some(({ pod: { metadata } }) =>
      [service, other].every(({ selector }) => serviceSelects(selector, metadata.labels)),
    );
    if (leadsThere) push(result.waysAround, policy.key, `${namespace}/${name}`);
  }
}

function isTarget({ targets }: PolicyWish, service: string): boolean {
  return targets.some((target) => isServiceTarget(target) && target.name === service);
}

/** Pods that a mesh-wide policy merely passes over are no news: most of a cluster is not in the mesh. */
function noteGap(
  policy: PolicyWish,
  pod: PodObject,
  standing: PodStanding,
  { isMeshWide, result }: { readonly isMeshWide: boolean; readonly result: Result },
): void {
  const what = `pod ${pod.metadata.namespace}/${pod.metadata.name}`;
  if (standing.kind === "opted-out") gap(policy, { reason: "OptedOut", what: standing.by }, result);
  if (standing.kind === "explicit")
    push(result.explicit, policy.key, `${standing.namespace}/${standing.name}`);
  if (standing.kind === "host-network" && !isMeshWide) gap(policy, { reason: "HostNetwork", what }, result);
  if (standing.kind === "not-enrolled" && !isMeshWide) gap(policy, { reason: "NotEnrolled", what }, result);
}

function want(
  namespace: string,
  wish: WantedBinding,
  { facts, result }: { readonly facts: NeedFacts; readonly result: Result },
): void {
  const immediately = wish.observes !== true && facts.immediately(namespace, wish.policy);
  push(result.wanted, namespace, immediately ? { ...wish, immediately } : wish);
}

function gap({ key }: PolicyWish, found: Gap, { gaps }: Result): void {
  const known = gaps.get(key) ?? [];
  if (!known.some((g) => g.reason === found.reason && g.what === found.what)) push(gaps, key, found);
}

function push<K, V>(map: Map<K, V[]>, key: K, value: V): void {
  const list = map.get(key) ?? [];
  if (!list.includes(value)) list.push(value);
  map.set(key, list);
}
