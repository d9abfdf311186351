/** Nobody grants what they do not have: roles and bindings are checked against the writer's own rules. */
import type { V1PolicyRule } from "@kubernetes/client-node";
import {
  type AccessRequest,
  CLUSTER_ROLE_BINDINGS,
  CLUSTER_ROLES,
  covers,
  ROLE_BINDINGS,
  ROLES,
} from "../auth/rbac.ts";
import { forbidden } from "../http/status-error.ts";
import { type ApiObject, deepEqual, digString } from "../object.ts";
import type { AdmissionRequest, Target } from "../rest/context.ts";
import type { AdmissionDeps } from "./admission-deps.ts";

const GROUP = "rbac.authorization.k8s.io";

const BINDINGS = new Set([ROLE_BINDINGS, CLUSTER_ROLE_BINDINGS]);
const HOLDERS = new Set([ROLES, CLUSTER_ROLES]);

export function checkEscalation({ rbac }: AdmissionDeps, request: AdmissionRequest): void {
  const { object, old, target, context } = request;
  const isRole = HOLDERS.has(target.resource.id);
  if (object === undefined || (!isRole && !BINDINGS.has(target.resource.id))) return;
  if (old !== undefined && deepEqual(granted(object), granted(old))) return;
  const wanted = isRole ? ((object["rules"] ?? []) as V1PolicyRule[]) : rbac.rulesOf(object);
  if (covers(rbac.rulesFor(context.user, target.namespace), wanted)) return;
  if (rbac.allows(context.user, isRole ? escalation(target) : bindingOf(target, object))) return;
  const { username, groups } = context.user;
  const who = `user "${username}" (groups=${JSON.stringify(groups)})`;
  throw forbidden(
    target.resource,
    target.name,
    `${who} is attempting to grant RBAC permissions not currently held`,
  );
}

function granted(object: ApiObject): unknown {
  return [object["rules"], object["subjects"]];
}

function escalation({ resource, namespace, name }: Target): AccessRequest {
  return { verb: "escalate", group: GROUP, resource: resource.plural, namespace, name };
}

function bindingOf({ namespace }: Target, object: ApiObject): AccessRequest {
  const name = digString(object, "roleRef", "name") ?? "";
  return {
    verb: "bind",
    group: GROUP,
    resource: roleResource(digString(object, "roleRef", "kind")),
    namespace,
    name,
  };
}

function roleResource(kind: string | undefined): string {
  return kind === "ClusterRole" ? "clusterroles" : "roles";
}
