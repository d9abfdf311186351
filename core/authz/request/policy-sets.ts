/** Pure. The policies of one snapshot, compiled once, and the sets of them that judge a service or a workload. */
import type { PolicyKey } from "../../model/ids.ts";
import { onlyObserves, type RequestPolicy } from "../../model/request-policy.ts";
import { type CompiledPolicy, compilePolicy } from "./compile-policy.ts";
import { connectionForm, numbered } from "./connection-form.ts";

export type RequestPolicySet =
  | {
      readonly kind: "known";
      /** What judges requests. */
      readonly requests: OrderedPolicies;
      /** What judges connections that are not HTTP. */
      readonly connections: OrderedPolicies;
      /** Denies a connection that turns out to be HTTP where HTTP is not declared; undefined if nothing does. */
      readonly httpOnlyDeny: RuleName | undefined;
    }
  /** Policies that the set names and nobody has: refuses everything, since they may be what protects the workload. */
  | { readonly kind: "missing"; readonly names: readonly PolicyKey[] };

export interface OrderedPolicies {
  readonly deny: readonly CompiledPolicy[];
  readonly allow: readonly CompiledPolicy[];
  /** Those that decide nothing. */
  readonly observing: readonly CompiledPolicy[];
}

export interface RuleName {
  readonly policy: PolicyKey;
  readonly rule: number;
}

export interface CompiledPolicies {
  /** Header fields that any policy reads, in lower case: a name that could be taken for one of them must be refused. */
  readonly fieldNames: ReadonlySet<string>;
  /** Call it once per service and workload and snapshot, not per request. */
  setOf(keys: readonly PolicyKey[]): RequestPolicySet;
}

interface Forms {
  readonly request: CompiledPolicy;
  readonly connection: CompiledPolicy;
  readonly httpOnlyDeny: RuleName | undefined;
}

export function compileRequestPolicies(policies: readonly RequestPolicy[]): CompiledPolicies {
  const byKey = new Map(policies.map((policy) => [policy.key, compileForms(policy)]));
  return {
    fieldNames: new Set(policies.flatMap(fieldNamesOf)),
    setOf: (keys) => {
      const names = keys.filter((key) => !byKey.has(key));
      if (names.length > 0) return { kind: "missing", names };
      const forms = [...new Set(keys)].flatMap((key) => byKey.get(key) ?? []);
      return {
        kind: "known",
        requests: ordered(forms.map((form) => form.request)),
        connections: ordered(forms.map((form) => form.connection)),
        httpOnlyDeny: forms.find((form) => form.httpOnlyDeny !== undefined)?.httpOnlyDeny,
      };
    },
  };
}

function compileForms(policy: RequestPolicy): Forms {
  const { rules, httpOnlyDeny } = connectionForm(policy);
  const inForce = onlyObserves(policy) ? undefined : httpOnlyDeny;
  return {
    request: compilePolicy(policy, numbered(policy.rules)),
    connection: compilePolicy(policy, rules),
    httpOnlyDeny: inForce === undefined ? undefined : { policy: policy.key, rule: inForce },
  };
}

function ordered(policies: readonly CompiledPolicy[]): OrderedPolicies {
  return {
    deny: policies.filter((policy) => !policy.dryRun && policy.action === "deny"),
    allow: policies.filter((policy) => !policy.dryRun && policy.action === "allow"),
    observing: policies.filter(onlyObserves),
  };
}

function fieldNamesOf({ rules }: RequestPolicy): readonly string[] {
  return rules.flatMap(({ when }) =>
    when.flatMap((condition) => (condition.kind === "header" ? [condition.name] : [])),
  );
}
