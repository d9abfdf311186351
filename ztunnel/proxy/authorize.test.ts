import assert from "node:assert/strict";
import { test } from "node:test";
import type { Authorization } from "#core/model/authorization.ts";
import type { ConnectionFacts } from "#core/model/connection.ts";
import { ip } from "#core/net/ip.ts";
import { anAuthorizationOf, aPolicyKey, aStrictPolicy, aWorkload } from "#core/testing/builders.ts";
import { MeshState } from "#core/state/mesh-state.ts";
import { authorize } from "./authorize.ts";

const FRONTEND = "cluster.local/ns/shop/sa/frontend";
const onlyFrontend = anAuthorizationOf(
  { principals: { any: [{ kind: "exact", value: FRONTEND }], none: [] } },
  { name: "only-frontend", scope: "workload-selector" },
);
const strict = aStrictPolicy();
const forWaypointOf = (namespace: string): Authorization =>
  anAuthorizationOf(
    {
      principals: {
        any: [{ kind: "exact", value: `cluster.local/ns/${namespace}/sa/ambit-waypoint` }],
        none: [],
      },
    },
    { name: "for-waypoint", scope: "workload-selector" },
  );
const facts = (identity?: string): ConnectionFacts => ({
  source: { ip: ip("10.0.0.9"), port: 1 },
  destination: { ip: ip("10.0.0.5"), port: 8080 },
  sourceIdentity: identity === undefined ? undefined : (`spiffe://${identity}` as never),
});

interface AuthorizeCase {
  readonly name: string;
  readonly known: readonly Authorization[];
  readonly named: readonly Authorization[];
  readonly identity?: string;
  readonly expect: string;
}

const cases: readonly AuthorizeCase[] = [
  {
    name: "a stranger is refused",
    known: [onlyFrontend],
    named: [onlyFrontend],
    identity: "cluster.local/ns/x/sa/intruder",
    expect: "deny no-allow-matched default/only-frontend rule 0: principals",
  },
  {
    name: "plaintext is refused where an identity is asked for",
    known: [onlyFrontend],
    named: [onlyFrontend],
    expect: "deny no-allow-matched default/only-frontend rule 0: principals",
  },
  {
    name: "plaintext is refused under STRICT",
    known: [strict],
    named: [strict],
    expect: "deny denied-by-policy istio-system/istio_converted_static_strict",
  },
  {
    name: "a policy that is named but not there holds, whoever asks",
    known: [],
    named: [onlyFrontend],
    identity: FRONTEND,
    expect: "hold default/only-frontend",
  },
  {
    name: "one of two missing holds as well",
    known: [onlyFrontend],
    named: [onlyFrontend, strict],
    identity: FRONTEND,
    expect: "hold istio-system/istio_converted_static_strict",
  },
  {
    name: "the frontend is allowed",
    known: [onlyFrontend],
    named: [onlyFrontend],
    identity: FRONTEND,
    expect: "allow default/only-frontend",
  },
  {
    name: "who goes past the waypoint is refused with that reason, by the policy that only the controller can make",
    known: [{ ...strict, name: "ambit_only_through_waypoint_5432", namespace: "default" }],
    named: [{ ...strict, name: "ambit_only_through_waypoint_5432", namespace: "default" }],
    expect: "deny not-through-waypoint default/ambit_only_through_waypoint_5432",
  },
  {
    name: "a policy of a like name is an ordinary one",
    known: [{ ...strict, name: "ambit_only", namespace: "default" }],
    named: [{ ...strict, name: "ambit_only", namespace: "default" }],
    expect: "deny denied-by-policy default/ambit_only",
  },
  {
    name: "the automatic waypoint of another namespace, which policies of the mesh spare, is refused whatever they say",
    known: [],
    named: [],
    identity: "cluster.local/ns/shop/sa/ambit-waypoint",
    expect: "deny foreign-waypoint ",
  },
  {
    name: "an ALLOW for it in a policy of the mesh does not let it in",
    known: [{ ...forWaypointOf("shop"), scope: "global" }],
    named: [],
    identity: "cluster.local/ns/shop/sa/ambit-waypoint",
    expect: "deny foreign-waypoint ",
  },
  {
    name: "the automatic waypoint of the namespace itself is judged as anybody",
    known: [forWaypointOf("default")],
    named: [forWaypointOf("default")],
    identity: "cluster.local/ns/default/sa/ambit-waypoint",
    expect: "allow default/for-waypoint",
  },
  {
    name: "an account whose name ends like a waypoint's is an ordinary one",
    known: [],
    named: [],
    identity: "cluster.local/ns/shop/sa/not-ambit-waypoint",
    expect: "allow ",
  },
  { name: "a policy that nothing names does not apply", known: [strict], named: [], expect: "allow " },
  {
    name: "a dry run only notes",
    known: [{ ...strict, dryRun: true }],
    named: [strict],
    expect: "allow  dry istio-system/istio_converted_static_strict:deny",
  },
];

for (const c of cases) {
  test(c.name, () => {
    const state = new MeshState();
    state.commit({
      upserts: c.known.map((policy) => ({ kind: "authorization", policy }) as const),
      removals: [],
    });
    const verdict = authorize(
      state,
      aWorkload({ authorizationPolicies: c.named.map(aPolicyKey) }),
      facts(c.identity),
    );
    const { policy, nearest, dryRun } = verdict.trace;
    const reason = verdict.kind === "deny" ? `${verdict.reason} ` : "";
    assert.equal(
      `${verdict.kind} ${reason}${policy ?? nearest ?? ""}${dryRun === undefined ? "" : ` dry ${dryRun}`}`,
      c.expect,
    );
  });
}
