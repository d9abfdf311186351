/** Request policies in few words. */
import { policyKey } from "#core/model/ids.ts";
import type { OperationMatch, RequestPolicy, RequestRule, SourceMatch } from "#core/model/request-policy.ts";
import { identity, NAMESPACE } from "./test-waypoint.ts";

const ANY = { any: [], none: [] };

export function operation(given: Partial<OperationMatch>): OperationMatch {
  return { hosts: ANY, methods: ANY, paths: ANY, ports: ANY, ...given };
}

export function from(account: string): SourceMatch {
  const value = identity(account).slice("spiffe://".length);
  return {
    principals: { any: [{ kind: "exact", value }], none: [] },
    namespaces: ANY,
    serviceAccounts: ANY,
    sourceIps: ANY,
  };
}

export function policy(name: string, given: Partial<RequestPolicy>): RequestPolicy {
  return { key: policyKey(NAMESPACE, name), action: "allow", dryRun: false, rules: [], ...given };
}

export function rule(given: Partial<RequestRule>): RequestRule {
  return { from: [], to: [], when: [], ...given };
}

export function paths(prefix: string): OperationMatch {
  return operation({ paths: { any: [{ kind: "prefix", value: prefix }], none: [] } });
}

/** The policy of the demo: the frontend may only read items. */
export const READ_ITEMS: RequestPolicy = policy("read-items", {
  rules: [
    rule({
      from: [from("frontend")],
      to: [
        operation({
          methods: { any: [{ kind: "exact", value: "GET" }], none: [] },
          paths: { any: [{ kind: "prefix", value: "/items" }], none: [] },
        }),
      ],
    }),
  ],
});

export const NO_ADMIN: RequestPolicy = policy("no-admin", {
  action: "deny",
  rules: [rule({ to: [paths("/admin")] })],
});
