import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import type { Authorization, AuthorizationMatch, MatchList, StringMatch } from "../model/authorization.ts";
import type { ConnectionFacts } from "../model/connection.ts";
import { ipToMappedBytes } from "../net/ip.ts";
import type { Cidr } from "../net/cidr.ts";
import { arbitraryAuthorization, arbitraryConnection } from "../testing/arbitraries.ts";
import { evaluate } from "./evaluate.ts";
import { explainDecision } from "./explain.ts";

/*
 * A second, slow evaluator, written from the rules alone: it works on bit strings, splits the SPIFFE text itself and
 * shares nothing with the first.
 */

function naiveText(match: StringMatch, text: string | undefined): boolean {
  if (text === undefined) return false;
  if (match.kind === "presence") return text.length > 0;
  const pattern = match.value.replaceAll(/[.*+?^${}()|[\]\\/-]/g, String.raw`\$&`);
  const source = { exact: `^${pattern}$`, prefix: `^${pattern}`, suffix: `${pattern}$` }[match.kind];
  return new RegExp(source, "s").test(text);
}

function bits(address: Cidr["address"]): string {
  return [...ipToMappedBytes(address)].map((byte) => byte.toString(2).padStart(8, "0")).join("");
}

function naiveBlock(block: Cidr, address: Cidr["address"]): boolean {
  if (block.address.includes(":") !== address.includes(":")) return false;
  const length = block.address.includes(":") ? block.prefixLength : 96 + block.prefixLength;
  return bits(block.address).slice(0, length) === bits(address).slice(0, length);
}

function naiveList<T>(list: MatchList<T>, hit: (entry: T) => boolean): boolean {
  const positive = list.any.map(hit);
  const negative = list.none.map(hit);
  return (positive.length === 0 || positive.includes(true)) && !negative.includes(true);
}

function naiveMatch(match: AuthorizationMatch, c: ConnectionFacts): boolean {
  const entries = Object.values(match).flatMap((list: MatchList<unknown>) => [...list.any, ...list.none]);
  if (entries.length === 0) return false;
  const [, , trustDomain, , namespace, , account] = c.sourceIdentity?.split("/") ?? [];
  const principal = trustDomain && `${trustDomain}/ns/${namespace}/sa/${account}`;
  return [
    naiveList(match.namespaces, (entry) => naiveText(entry, namespace ?? "")),
    naiveList(match.principals, (entry) => naiveText(entry, principal)),
    naiveList(
      match.serviceAccounts,
      (entry) => `${entry.namespace}/${entry.serviceAccount}` === `${namespace}/${account}`,
    ),
    naiveList(match.sourceIps, (block) => naiveBlock(block, c.source.ip)),
    naiveList(match.destinationIps, (block) => naiveBlock(block, c.destination.ip)),
    naiveList(match.destinationPorts, (port) => port === c.destination.port),
  ].every(Boolean);
}

function naivePolicy(policy: Authorization, c: ConnectionFacts): boolean {
  return policy.rules
    .map((rule) =>
      rule.clauses
        .map(
          (clause) =>
            clause.matches.length === 0 || clause.matches.map((m) => naiveMatch(m, c)).includes(true),
        )
        .every(Boolean),
    )
    .includes(true);
}

function naiveAllows(policies: readonly Authorization[], c: ConnectionFacts): boolean {
  const enforced = policies.filter((policy) => !policy.dryRun);
  const matching = enforced.filter((policy) => naivePolicy(policy, c));
  if (matching.some((policy) => policy.action === "deny")) return false;
  if (!enforced.some((policy) => policy.action === "allow")) return true;
  return matching.some((policy) => policy.action === "allow");
}

const policySet = fc.array(arbitraryAuthorization, { maxLength: 5 });

test("the evaluator agrees with a naive one", () => {
  const seen = { allow: 0, deny: 0 };
  fc.assert(
    fc.property(policySet, arbitraryConnection, (policies, connection) => {
      const { kind } = evaluate(policies, connection);
      seen[kind]++;
      assert.equal(kind === "allow", naiveAllows(policies, connection));
    }),
    { numRuns: 5000 },
  );
  assert.ok(seen.allow > 500 && seen.deny > 500, JSON.stringify(seen));
});

test("adding a DENY never allows more", () => {
  fc.assert(
    fc.property(policySet, arbitraryAuthorization, arbitraryConnection, (policies, extra, connection) => {
      const before = evaluate(policies, connection).kind;
      const after = evaluate([...policies, { ...extra, action: "deny" }], connection).kind;
      assert.ok(before === "deny" ? after === "deny" : true);
    }),
    { numRuns: 3000 },
  );
});

test("the order of policies never matters to the verdict", () => {
  fc.assert(
    fc.property(policySet, arbitraryConnection, (policies, connection) => {
      assert.equal(evaluate(policies.toReversed(), connection).kind, evaluate(policies, connection).kind);
    }),
    { numRuns: 1000 },
  );
});

test("a policy that is said to decide does match, and every decision has words", () => {
  fc.assert(
    fc.property(policySet, arbitraryConnection, (policies, connection) => {
      const decision = evaluate(policies, connection);
      assert.ok(explainDecision(decision).length > 10);
      if (!("rule" in decision)) return;
      const named = policies.filter((p) => `${p.namespace}/${p.name}` === decision.policy);
      const proofs = named.filter((policy) => {
        const rule = policy.rules[decision.rule];
        return rule !== undefined && naivePolicy({ ...policy, rules: [rule] }, connection);
      });
      assert.ok(proofs.length > 0);
    }),
    { numRuns: 1000 },
  );
});
