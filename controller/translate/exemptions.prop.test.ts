/** The rule set of destinations behind an automatic waypoint, on any policies: it lets the waypoint in and nobody else differently. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { evaluate } from "#core/authz/evaluate.ts";
import { spiffeId } from "#core/model/spiffe-id.ts";
import { AUTOMATIC_WAYPOINT, isOnlyThroughWaypoint } from "#core/model/waypoint.ts";
import { arbitraryAuthorization, arbitraryConnection } from "#core/testing/arbitraries.ts";
import { onlyThroughName, onlyThroughWaypoint, sparingWaypoints, waypointPrincipal } from "./exemptions.ts";

const WAYPOINT = spiffeId({
  trustDomain: "cluster.local",
  namespace: "shop",
  serviceAccount: AUTOMATIC_WAYPOINT,
});
const PRINCIPALS = [
  waypointPrincipal("cluster.local", "other", AUTOMATIC_WAYPOINT),
  waypointPrincipal("cluster.local", "shop", AUTOMATIC_WAYPOINT),
];
const policies = fc.array(arbitraryAuthorization, { maxLength: 5 });

test("whatever the policies are, the waypoint passes them", () => {
  let refusedBefore = 0;
  fc.assert(
    fc.property(policies, arbitraryConnection, (list, connection) => {
      const ours = { ...connection, sourceIdentity: WAYPOINT };
      if (evaluate(list, ours).kind === "deny") refusedBefore++;
      const spared = list.map((policy) => sparingWaypoints(policy, PRINCIPALS));
      assert.equal(evaluate(spared, ours).kind, "allow");
    }),
  );
  assert.ok(refusedBefore > 10, `only ${refusedBefore} sets would have refused it`);
});

test("for everybody else nothing changes", () => {
  fc.assert(
    fc.property(policies, arbitraryConnection, (list, connection) => {
      const before = evaluate(list, connection);
      const after = evaluate(
        list.map((policy) => sparingWaypoints(policy, PRINCIPALS)),
        connection,
      );
      assert.equal(after.kind, before.kind);
      assert.equal(after.reason, before.reason);
    }),
  );
});

test("without a waypoint a policy is left as it is", () => {
  fc.assert(fc.property(arbitraryAuthorization, (policy) => sparingWaypoints(policy, []) === policy));
});

test("a namespace's own waypoint alone is spared by the synthetic DENY, on all ports but those declared TCP", () => {
  fc.assert(
    fc.property(
      policies,
      arbitraryConnection,
      fc.uniqueArray(fc.constantFrom<number>(80, 443, 8080), { maxLength: 2 }),
      (list, connection, tcpPorts) => {
        const name = onlyThroughName(tcpPorts, []);
        assert.ok(isOnlyThroughWaypoint(name));
        const spared = list.map((policy) => sparingWaypoints(policy, PRINCIPALS));
        const all = [...spared, onlyThroughWaypoint("shop", name, "cluster.local")];
        assert.equal(evaluate(all, { ...connection, sourceIdentity: WAYPOINT }).kind, "allow");
        const isTcp = tcpPorts.includes(connection.destination.port);
        const expected = isTcp ? evaluate(list, connection).kind : "deny";
        assert.equal(evaluate(all, connection).kind, expected);
      },
    ),
  );
});

test("another waypoint that is taking over is let through as well, and nobody else", () => {
  const other = spiffeId({ trustDomain: "cluster.local", namespace: "infra", serviceAccount: "own.edge" });
  const ports = fc.uniqueArray(fc.constantFrom<number>(80, 443, 8080), { maxLength: 2 });
  fc.assert(
    fc.property(arbitraryConnection, ports, (connection, tcpPorts) => {
      const name = onlyThroughName(tcpPorts, [{ namespace: "infra", name: "own.edge" }]);
      assert.ok(isOnlyThroughWaypoint(name));
      const [both, one] = [name, onlyThroughName(tcpPorts, [])].map((of) =>
        onlyThroughWaypoint("shop", of, "cluster.local"),
      );
      assert.ok(both !== undefined && one !== undefined);
      for (const sourceIdentity of [WAYPOINT, other])
        assert.equal(evaluate([both], { ...connection, sourceIdentity }).kind, "allow");
      assert.equal(evaluate([both], connection).kind, evaluate([one], connection).kind);
    }),
  );
});

test("names say their ports, in one order", () => {
  assert.equal(onlyThroughName([], []), "ambit_only_through_waypoint");
  assert.equal(onlyThroughName([6379, 443, 5432], []), "ambit_only_through_waypoint_443_5432_6379");
  const others = ["own", "edge"].map((name) => ({ namespace: "shop", name }));
  assert.equal(onlyThroughName([443], others), "ambit_only_through_waypoint_443_edge.shop_own.shop");
  assert.ok(!isOnlyThroughWaypoint("ambit_only_through_waypoints"));
});
