/** Authorization policies by key and by scope. Every list is sorted by key, so that explanations are stable. */
import { type PolicyKey, policyKey } from "../model/ids.ts";
import type { Authorization } from "../model/authorization.ts";

export interface PolicyLookup {
  readonly size: number;
  get(key: PolicyKey): Authorization | undefined;
  /** Policies of scope "namespace" that live in `namespace`. */
  inNamespace(namespace: string): readonly Authorization[];
  /** Policies of scope "global". */
  global(): readonly Authorization[];
  values(): Iterable<Authorization>;
}

export class PolicyStore implements PolicyLookup {
  readonly #byKey = new Map<PolicyKey, Authorization>();
  readonly #byNamespace = new Map<string, readonly Authorization[]>();
  #global: readonly Authorization[] = [];

  get size(): number {
    return this.#byKey.size;
  }

  get(key: PolicyKey): Authorization | undefined {
    return this.#byKey.get(key);
  }

  inNamespace(namespace: string): readonly Authorization[] {
    return this.#byNamespace.get(namespace) ?? [];
  }

  global(): readonly Authorization[] {
    return this.#global;
  }

  values(): Iterable<Authorization> {
    return this.#byKey.values();
  }

  put(policy: Authorization): void {
    const key = policyKey(policy.namespace, policy.name);
    this.delete(key);
    this.#byKey.set(key, policy);
    if (policy.scope === "global") this.#global = sorted([...this.#global, policy]);
    if (policy.scope === "namespace") {
      this.#byNamespace.set(policy.namespace, sorted([...this.inNamespace(policy.namespace), policy]));
    }
  }

  delete(key: PolicyKey): boolean {
    const policy = this.#byKey.get(key);
    if (policy === undefined) return false;
    this.#byKey.delete(key);
    this.#global = this.#global.filter((other) => other !== policy);
    const left = this.inNamespace(policy.namespace).filter((other) => other !== policy);
    if (left.length === 0) this.#byNamespace.delete(policy.namespace);
    else this.#byNamespace.set(policy.namespace, left);
    return true;
  }
}

function sorted(policies: readonly Authorization[]): readonly Authorization[] {
  const key = (policy: Authorization): string => policyKey(policy.namespace, policy.name);
  return policies.toSorted((a, b) => (key(a) < key(b) ? -1 : 1));
}
