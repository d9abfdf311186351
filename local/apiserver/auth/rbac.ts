/**
 * Role based access control for every caller; the only bypass is the group `system:masters`. Roles and bindings are read from the
 * store at each decision, so a change holds from the next request on.
 */
import type { V1ClusterRole, V1PolicyRule, V1RoleBinding } from "@kubernetes/client-node";
import type { ApiObject } from "../object.ts";
import type { ObjectStore } from "../store/object-store.ts";
import { MASTERS, serviceAccountUser, type UserInfo } from "./user.ts";

export interface AccessRequest {
  readonly verb: string;
  /** Set for URLs outside the resource paths; then only `verb` counts besides. */
  readonly path?: string;
  readonly group?: string;
  readonly resource?: string;
  readonly subresource?: string;
  readonly namespace?: string;
  readonly name?: string;
}

const GROUP = "rbac.authorization.k8s.io";
export const ROLES = `roles.${GROUP}`;
export const CLUSTER_ROLES = `clusterroles.${GROUP}`;
export const ROLE_BINDINGS = `rolebindings.${GROUP}`;
export const CLUSTER_ROLE_BINDINGS = `clusterrolebindings.${GROUP}`;

export class Rbac {
  readonly #store: ObjectStore;

  constructor(store: ObjectStore) {
    this.#store = store;
  }

  allows(user: UserInfo, access: AccessRequest): boolean {
    if (user.groups.includes(MASTERS)) return true;
    return this.rulesFor(user, access.namespace ?? "").some((rule) => ruleAllows(rule, access));
  }

  /** Every rule that applies to the user in a namespace, or cluster-wide when it is empty. */
  rulesFor(user: UserInfo, namespace: string): readonly V1PolicyRule[] {
    if (user.groups.includes(MASTERS)) return EVERYTHING;
    const bindings = [
      ...this.#store.list(CLUSTER_ROLE_BINDINGS),
      ...(namespace === ""
        ? []
        : this.#store.list(ROLE_BINDINGS).filter((binding) => binding.metadata.namespace === namespace)),
    ];
    return bindings.filter((binding) => isBound(binding, user)).flatMap((binding) => this.rulesOf(binding));
  }

  /** The rules of the role that a binding refers to; none when the role does not exist. */
  rulesOf(binding: ApiObject): readonly V1PolicyRule[] {
    const { roleRef } = binding as unknown as V1RoleBinding;
    const role =
      roleRef.kind === "ClusterRole"
        ? this.#store.get(CLUSTER_ROLES, roleRef.name)
        : this.#store.get(ROLES, `${binding.metadata.namespace ?? ""}/${roleRef.name}`);
    return (role as unknown as V1ClusterRole | undefined)?.rules ?? [];
  }
}

const EVERYTHING: readonly V1PolicyRule[] = [
  { verbs: ["*"], apiGroups: ["*"], resources: ["*"] },
  { verbs: ["*"], nonResourceURLs: ["*"] },
];

function isBound(binding: ApiObject, user: UserInfo): boolean {
  const { subjects } = binding as unknown as V1RoleBinding;
  return (subjects ?? []).some((subject) => {
    if (subject.kind === "User") return subject.name === user.username;
    if (subject.kind === "Group") return user.groups.includes(subject.name);
    const namespace = subject.namespace ?? binding.metadata.namespace ?? "";
    return subject.kind === "ServiceAccount" && user.username === serviceAccountUser(namespace, subject.name);
  });
}

function has(list: readonly string[] | undefined, value: string): boolean {
  return list !== undefined && (list.includes("*") || list.includes(value));
}

export function ruleAllows(rule: V1PolicyRule, access: AccessRequest): boolean {
  if (!has(rule.verbs, access.verb)) return false;
  if (access.path !== undefined)
    return (rule.nonResourceURLs ?? []).some((pattern) => pathMatches(pattern, access.path ?? ""));
  if (!has(rule.apiGroups, access.group ?? "")) return false;
  if (!resourceMatches(rule.resources ?? [], access)) return false;
  const names = rule.resourceNames ?? [];
  return names.length === 0 || names.includes(access.name ?? "");
}

function pathMatches(pattern: string, path: string): boolean {
  return pattern === path || (pattern.endsWith("*") && path.startsWith(pattern.slice(0, -1)));
}

function resourceMatches(
  resources: readonly string[],
  { resource = "", subresource = "" }: AccessRequest,
): boolean {
  if (resources.includes("*")) return true;
  if (subresource === "") return resources.includes(resource);
  return resources.includes(`${resource}/${subresource}`) || resources.includes(`*/${subresource}`);
}

/** Every single permission of `wanted` is in `held`: what may be granted without `escalate`. */
export function covers(held: readonly V1PolicyRule[], wanted: readonly V1PolicyRule[]): boolean {
  // `*` is taken literally here: only a rule with `*` grants `*`, and only one without names grants all names.
  return wanted.every((rule) => singles(rule).every((access) => held.some((own) => ruleAllows(own, access))));
}

function singles(rule: V1PolicyRule): AccessRequest[] {
  const paths = (rule.nonResourceURLs ?? []).flatMap((path) => rule.verbs.map((verb) => ({ verb, path })));
  const names: readonly (string | undefined)[] =
    (rule.resourceNames ?? []).length === 0 ? [undefined] : (rule.resourceNames ?? []);
  const resources = (rule.apiGroups ?? []).flatMap((group) =>
    (rule.resources ?? []).flatMap((text) => {
      const [resource = "", subresource = ""] = text.split("/");
      return names.flatMap((name) =>
        rule.verbs.map((verb) => ({
          verb,
          group,
          resource,
          subresource,
          ...(name === undefined ? {} : { name }),
        })),
      );
    }),
  );
  return [...paths, ...resources];
}
