/**
 * Pure. The policies that rule a workload: of its namespace, of the mesh, and those it names.
 * A name that is not there refuses everything, since its ALLOW or DENY may be what protects the workload.
 */
import type { Authorization } from "../model/authorization.ts";
import type { PolicyKey } from "../model/ids.ts";
import type { Workload } from "../model/workload.ts";

export interface PolicyLookup {
  /** Policies of scope "global". */
  global(): Iterable<Authorization>;
  /** Policies of scope "namespace" in that namespace. */
  inNamespace(namespace: string): Iterable<Authorization>;
  /** A policy of any scope by its key. */
  get(key: PolicyKey): Authorization | undefined;
}

export type PolicySet =
  | { readonly kind: "known"; readonly policies: readonly Authorization[] }
  | { readonly kind: "missing"; readonly names: readonly PolicyKey[] };

export function policiesFor(
  workload: Pick<Workload, "namespace" | "authorizationPolicies">,
  lookup: PolicyLookup,
): PolicySet {
  const found = new Map<string, Authorization>();
  const missing: PolicyKey[] = [];
  for (const policy of lookup.global()) found.set(`${policy.namespace}/${policy.name}`, policy);
  for (const policy of lookup.inNamespace(workload.namespace))
    found.set(`${policy.namespace}/${policy.name}`, policy);
  for (const key of workload.authorizationPolicies) {
    const policy = lookup.get(key);
    if (policy === undefined) missing.push(key);
    else found.set(key, policy);
  }
  return missing.length > 0
    ? { kind: "missing", names: missing }
    : { kind: "known", policies: [...found.values()] };
}
