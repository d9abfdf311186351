import assert from "node:assert/strict";
import { test } from "node:test";
import {
  type AuthorizationPolicyFacts,
  coveredBy,
  covers,
  type CoveringPolicy,
  type MtlsMode,
  type PeerAuthenticationFacts,
} from "./covers.ts";

const OPTIONS = { rootNamespace: "istio-system" };
const POD = { namespace: "shop", labels: { app: "catalog", tier: "back" } };

function authorization(given: Partial<AuthorizationPolicyFacts> = {}): AuthorizationPolicyFacts {
  return {
    kind: "AuthorizationPolicy",
    namespace: "shop",
    name: "p",
    selector: undefined,
    createdMs: 0,
    action: "ALLOW",
    ruleCount: 1,
    hasTargets: false,
    dryRun: false,
    ...given,
  };
}

function peer(mode: MtlsMode, given: Partial<PeerAuthenticationFacts> = {}): PeerAuthenticationFacts {
  return {
    kind: "PeerAuthentication",
    namespace: "shop",
    name: "pa",
    selector: undefined,
    createdMs: 0,
    mode,
    portModes: new Map(),
    ...given,
  };
}

interface CoverCase {
  readonly name: string;
  readonly policy: CoveringPolicy;
  readonly covers: boolean;
}

const root = { namespace: "istio-system" };
const selected = { selector: { app: "catalog" } };
const CASES: readonly CoverCase[] = [
  {
    name: "a policy of another namespace does not cover",
    policy: authorization({ namespace: "other" }),
    covers: false,
  },
  {
    name: "another value of the label does not cover",
    policy: authorization({ selector: { app: "cart" } }),
    covers: false,
  },
  {
    name: "an inherited property is no label",
    policy: authorization({ selector: { constructor: "x" } }),
    covers: false,
  },
  {
    name: "one label of two does not cover",
    policy: authorization({ selector: { app: "catalog", x: "y" } }),
    covers: false,
  },
  { name: "a waypoint's policy does not cover", policy: authorization({ hasTargets: true }), covers: false },
  { name: "a dry run does not cover", policy: authorization({ dryRun: true }), covers: false },
  { name: "AUDIT does not cover", policy: authorization({ action: "AUDIT" }), covers: false },
  { name: "CUSTOM does not cover", policy: authorization({ action: "CUSTOM" }), covers: false },
  {
    name: "a DENY without rules does not cover",
    policy: authorization({ action: "DENY", ruleCount: 0 }),
    covers: false,
  },
  { name: "an ALLOW without rules covers", policy: authorization({ ruleCount: 0 }), covers: true },
  { name: "a DENY with rules covers", policy: authorization({ action: "DENY" }), covers: true },
  { name: "a namespace-wide policy covers", policy: authorization(), covers: true },
  { name: "an empty selector covers", policy: authorization({ selector: {} }), covers: true },
  { name: "a selector of all labels covers", policy: authorization({ selector: POD.labels }), covers: true },
  { name: "a mesh-wide policy covers", policy: authorization(root), covers: true },
  { name: "a mesh-wide selector covers", policy: authorization({ ...root, ...selected }), covers: true },
  { name: "PERMISSIVE does not cover", policy: peer("PERMISSIVE"), covers: false },
  { name: "DISABLE does not cover", policy: peer("DISABLE"), covers: false },
  { name: "UNSET does not cover", policy: peer("UNSET"), covers: false },
  { name: "STRICT covers", policy: peer("STRICT"), covers: true },
  { name: "STRICT elsewhere does not cover", policy: peer("STRICT", { namespace: "other" }), covers: false },
  { name: "STRICT of the mesh covers", policy: peer("STRICT", root), covers: true },
  {
    name: "a mesh-level selector does not cover",
    policy: peer("STRICT", { ...root, ...selected }),
    covers: false,
  },
  {
    name: "a strict port covers",
    policy: peer("UNSET", { ...selected, portModes: new Map([[80, "STRICT"]]) }),
    covers: true,
  },
  {
    name: "a permissive port does not",
    policy: peer("UNSET", { ...selected, portModes: new Map([[80, "PERMISSIVE"]]) }),
    covers: false,
  },
  {
    name: "ports without a selector do not",
    policy: peer("UNSET", { portModes: new Map([[80, "STRICT"]]) }),
    covers: false,
  },
];

for (const c of CASES) test(c.name, () => assert.equal(covers(c.policy, POD, OPTIONS), c.covers));

test("the nearer PeerAuthentication wins, UNSET inherits, the oldest wins among equals", () => {
  const mesh = peer("STRICT", { ...root, name: "mesh" });
  const permissive = peer("PERMISSIVE", { name: "ns" });
  const unset = peer("UNSET", { name: "unset" });
  const workload = peer("STRICT", { ...selected, name: "wl" });
  assert.equal(coveredBy([mesh, permissive], POD, OPTIONS), undefined);
  assert.equal(coveredBy([mesh, unset], POD, OPTIONS)?.name, "mesh");
  assert.equal(coveredBy([mesh, permissive, workload], POD, OPTIONS)?.name, "wl");
  const older = peer("PERMISSIVE", { name: "z", createdMs: 1 });
  const newer = peer("STRICT", { name: "a", createdMs: 2 });
  assert.equal(coveredBy([newer, older], POD, OPTIONS), undefined);
  assert.equal(coveredBy([permissive, peer("UNSET", { ...selected })], POD, OPTIONS), undefined);
});

test("an authorization policy covers whatever the PeerAuthentication says", () => {
  assert.equal(coveredBy([peer("PERMISSIVE"), authorization()], POD, OPTIONS)?.kind, "AuthorizationPolicy");
  assert.equal(coveredBy([], POD, OPTIONS), undefined);
});
