/** Pure. Why a namespace has no waypoint, as sentences: nothing needs one, or what the controller said about what would. */
import { l7Fields } from "#controller/translate/l7-fields.ts";
import { policyTargets } from "#controller/translate/policy-targets.ts";
import type { JsonObject } from "#core/k8s/json-read.ts";
import type { CustomObject } from "#core/k8s/object-types.ts";
import { projectCustom, projectNamespace } from "#core/k8s/project.ts";
import { LABEL_DATAPLANE_MODE } from "#core/model/well-known.ts";
import { enforcedOf } from "./waypoint-enforcement.ts";

export interface WaypointlessFacts {
  readonly namespace: JsonObject;
  /** AuthorizationPolicies of the namespace and of the root namespace. */
  readonly policies: readonly JsonObject[];
}

export function whyNoWaypoint({ namespace, policies }: WaypointlessFacts): readonly string[] {
  const { metadata } = projectNamespace(namespace);
  const wishes = policies.map(projectCustom).flatMap((policy) => wishOf(policy));
  if (wishes.length === 0) return [nothingToDo(metadata.name, policies.length)];
  return [...wishes, ...notEnrolled(metadata)];
}

function nothingToDo(namespace: string, policies: number): string {
  const looked =
    policies === 0
      ? "it has no AuthorizationPolicy"
      : `of ${policies} AuthorizationPolic${policies === 1 ? "y" : "ies"} none speaks of requests (methods, paths, hosts, headers)`;
  return `Namespace ${namespace} needs none: ${looked}, and ztunnels enforce everything else.`;
}

/** A policy that a waypoint would have to enforce, and how it stands. */
function wishOf(policy: CustomObject): readonly string[] {
  const field = l7Fields(policy)[0]?.path ?? policyTargets(policy.spec)[0]?.path;
  if (field === undefined) return [];
  const { namespace, name } = policy.metadata;
  return [`AuthorizationPolicy ${namespace}/${name} needs one for ${field}; ${standing(policy)}.`];
}

function standing(policy: CustomObject): string {
  const enforced = enforcedOf(policy);
  if (enforced === undefined)
    return "the controller has not said anything about it yet (`ambit proxy-status`)";
  const { status, reason, message } = enforced;
  return `Enforced: ${status} ${reason}: ${message.replace(/\.$/, "")}`;
}

function notEnrolled({
  name,
  labels,
}: {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
}): readonly string[] {
  if (labels[LABEL_DATAPLANE_MODE] === "ambient") return [];
  return [
    `Namespace ${name} is not in the mesh (\`kubectl label namespace ${name} ${LABEL_DATAPLANE_MODE}=ambient\`).`,
  ];
}
