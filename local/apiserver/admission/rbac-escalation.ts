/** Nobody grants what they do not have: roles and bindings are checked against the writer's own rules. */
import type { V1PolicyRule } from "@kubernetes/client-node";
import { CLUSTER_ROLE_BINDINGS, CLUSTER_ROLES, covers, ROLE_BINDINGS, ROLES } from "../auth/rbac.ts";
import { forbidden } from "../http/status-error.ts";
import { deepEqual, digString } from "../object.ts";
import type { AdmissionRequest } from "../rest/context.ts";
import type { AdmissionDeps } from "./admission-deps.ts";

const GROUP = "rbac.authorization.k8s.io";

export function checkEscalation({ rbac }: AdmissionDeps, request: AdmissionRequest): void {
  const { object, old, target, context } = request;
  const { id, plural } = target.resource;
  if (object === undefined || target.resource.group !== GROUP) return;
  const isRole = id === ROLES || id === CLUSTER_ROLES;
  if (!isRole && id !== ROLE_BINDINGS && id !== CLUSTER_ROLE_BINDINGS) return;
  if (
    old !== undefined &&
    deepEqual(object["rules"], old["rules"]) &&
    deepEqual(object["subjects"], old["subjects"])
  )
    return;
  const wanted = isRole ? ((object["rules"] ?? []) as V1PolicyRule[]) : rbac.rulesOf(object);
  const namespace = target.namespace;
  if (covers(rbac.rulesFor(context.user, namespace), wanted)) return;
  const access = isRole
    ? { verb: "escalate", group: GROUP, resource: plural, namespace, name: target.name }
    : {
        verb: "bind",
        group: GROUP,
        resource: roleResource(digString(object, "roleRef", "kind")),
        namespace,
        name: digString(object, "roleRef", "name") ?? "",
      };
  if (rbac.allows(context.user, access)) return;
  throw forbidden(
    target.resource,
    target.name,
    `user "${context.user.username}" (groups=${JSON.stringify(context.user.groups)}) is attempting to grant RBAC permissions not currently held`,
  );
}

function roleResource(kind: string | undefined): string {
  return kind === "ClusterRole" ? "clusterroles" : "roles";
}
