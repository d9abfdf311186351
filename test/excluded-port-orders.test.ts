/**
 * A port of a bound pod is kept from the waypoint, or no longer, while the mesh is running: source, destination and waypoint hear of it in any
 * order. What holds in every mixture of old and new, by the functions that decide: nobody gets in whom the rules before and after both refuse, and
 * what is open early or late is that port alone, to those whom its L4 policies let in.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { translateAuthorizationPolicy } from "#controller/translate/authorization-policy.ts";
import { onlyThroughName, onlyThroughWaypoint, sparingWaypoints } from "#controller/translate/exemptions.ts";
import { waypointPrincipal } from "#controller/translate/exemptions.ts";
import { testMeshConfig } from "#controller/test/builders.ts";
import { evaluate } from "#core/authz/evaluate.ts";
import type { Authorization } from "#core/model/authorization.ts";
import { serviceKey } from "#core/model/ids.ts";
import { type SpiffeId, spiffeId } from "#core/model/spiffe-id.ts";
import { AUTOMATIC_WAYPOINT, waypointAddress } from "#core/model/waypoint.ts";
import type { Workload } from "#core/model/workload.ts";
import { ip } from "#core/net/ip.ts";
import { MeshState } from "#core/state/mesh-state.ts";
import { aService, aWorkload } from "#core/testing/builders.ts";
import { workloadPortProtocol } from "#waypoint/listener/port-protocol.ts";
import { chooseOutboundRoute, isThroughWaypoint } from "#ztunnel/proxy/outbound-route.ts";

const POD = ip("10.0.0.5");
const HTTP = 8_080;
const DECLARED_TCP = 5_432;
/** Of which no service says anything. */
const TOGGLED = 7_000;
const PORTS = [HTTP, DECLARED_TCP, TOGGLED] as const;

const service = aService({
  name: "catalog",
  namespace: "shop",
  hostname: "catalog.shop.svc.cluster.local",
  vips: [],
  ports: [
    { servicePort: HTTP, targetPort: HTTP, appProtocol: "http11" },
    { servicePort: DECLARED_TCP, targetPort: DECLARED_TCP, appProtocol: "tcp" },
  ],
});
const services = new Map([
  [
    serviceKey("shop", service.hostname),
    new Map([
      [HTTP, HTTP],
      [DECLARED_TCP, DECLARED_TCP],
    ]),
  ],
]);
const waypointService = aService({
  name: AUTOMATIC_WAYPOINT,
  namespace: "shop",
  hostname: `${AUTOMATIC_WAYPOINT}.shop.svc.cluster.local`,
  vips: [],
  ports: [{ servicePort: 15_008, targetPort: 15_008, appProtocol: "unknown" }],
});
const waypointPod = aWorkload({
  name: "waypoint-1",
  namespace: "shop",
  addresses: [ip("10.0.0.60")],
  serviceAccount: AUTOMATIC_WAYPOINT,
  services: new Map([[serviceKey("shop", waypointService.hostname), new Map()]]),
});
const client = aWorkload({ name: "client", namespace: "shop", addresses: [ip("10.0.0.9")] });

interface Known {
  readonly view: MeshState;
  readonly pod: Workload;
}

/** What somebody knows who has heard of the annotation, or not yet. */
function known(isExcluded: boolean): Known {
  const pod = aWorkload({
    name: "catalog-1",
    namespace: "shop",
    addresses: [POD],
    services,
    waypoint: waypointAddress("shop", AUTOMATIC_WAYPOINT, "cluster.local"),
    excludedPorts: isExcluded ? [TOGGLED] : [],
  });
  const view = new MeshState();
  view.commit({
    upserts: [
      { kind: "service", service },
      { kind: "service", service: waypointService },
      ...[pod, waypointPod, client].map((workload) => ({ kind: "workload", workload }) as const),
    ],
    removals: [],
  });
  return { view, pod };
}

const identity = (serviceAccount: string): SpiffeId =>
  spiffeId({ trustDomain: "cluster.local", namespace: "shop", serviceAccount });

/** An older L4 policy: it rules the TCP ports at destinations, and everything at the waypoint. */
function noVisitors(): Authorization {
  const rule = { from: [{ source: { principals: ["cluster.local/ns/shop/sa/visitor"] } }] };
  const policy = {
    metadata: { name: "no-visitors", namespace: "shop", generation: 1, labels: {}, annotations: {} },
    spec: { action: "DENY", rules: [rule] },
  };
  const { authorization } = translateAuthorizationPolicy(policy as never, testMeshConfig);
  assert.ok(authorization !== undefined);
  return sparingWaypoints(authorization, [waypointPrincipal("cluster.local", "shop", AUTOMATIC_WAYPOINT)]);
}
const NO_VISITORS = noVisitors();

/** What a destination does that has heard of the annotation, or not yet. */
function arrives(isExcluded: boolean, from: SpiffeId, port: number): boolean {
  const free = isExcluded ? [DECLARED_TCP, TOGGLED] : [DECLARED_TCP];
  const only = onlyThroughWaypoint("shop", onlyThroughName(free, []), "cluster.local");
  const connection = {
    source: { ip: ip("10.0.0.9"), port: 40_000 },
    destination: { ip: POD, port },
    sourceIdentity: from,
  };
  return evaluate([NO_VISITORS, only], connection).kind === "allow";
}

type Outcome = "refused" | "direct" | "judged by what it speaks" | "judged as a connection";

interface Mixture {
  readonly source: boolean;
  readonly destination: boolean;
  readonly waypoint: boolean;
}

/** `account`: of a caller that its ztunnel serves, or that dials around every rule of it. */
function outcome(at: Mixture, account: string, port: number, dialsAround = false): Outcome {
  const { view } = known(at.source);
  const request = {
    source: client,
    destination: { ip: POD, port },
    network: "",
    isLocal: () => false,
    random: () => 0,
  };
  if (dialsAround || !isThroughWaypoint(chooseOutboundRoute(view, request)))
    return arrives(at.destination, identity(account), port) ? "direct" : "refused";
  // The waypoint has all policies, and refuses visitors as the older one says.
  if (account === "visitor" || !arrives(at.destination, identity(AUTOMATIC_WAYPOINT), port)) return "refused";
  const { view: seen, pod } = known(at.waypoint);
  return workloadPortProtocol(seen, pod, port) === "tcp"
    ? "judged as a connection"
    : "judged by what it speaks";
}

const BOTH = [false, true] as const;
const MIXTURES: readonly Mixture[] = BOTH.flatMap((source) =>
  BOTH.flatMap((destination) => BOTH.map((waypoint) => ({ source, destination, waypoint }))),
);

test("whom the L4 policies refuse gets in nowhere, in no mixture", () => {
  for (const at of MIXTURES) {
    for (const port of PORTS) {
      for (const around of BOTH)
        assert.equal(outcome(at, "visitor", port, around), "refused", JSON.stringify({ at, port, around }));
    }
  }
});

test("other ports notice nothing: HTTP is judged as HTTP or refused, TCP goes direct", () => {
  for (const at of MIXTURES) {
    assert.equal(outcome(at, "frontend", HTTP), "judged by what it speaks", JSON.stringify(at));
    assert.equal(outcome(at, "frontend", HTTP, true), "refused", JSON.stringify(at));
    assert.equal(outcome(at, "frontend", DECLARED_TCP), "direct", JSON.stringify(at));
  }
});

test("the port is open past the waypoint exactly where its destination has heard of it", () => {
  for (const at of MIXTURES) {
    const expected = at.destination ? "direct" : "refused";
    assert.equal(outcome(at, "frontend", TOGGLED, true), expected, JSON.stringify(at));
  }
});

test("a caller that is allowed is refused in one mixture alone: its ztunnel goes direct, the destination does not know it yet, or no more", () => {
  const refused = MIXTURES.filter((at) => outcome(at, "frontend", TOGGLED) === "refused");
  assert.ok(refused.length > 0);
  for (const { source, destination } of refused) assert.ok(source && !destination);
  const before = { source: false, destination: false, waypoint: false };
  const after = { source: true, destination: true, waypoint: true };
  assert.equal(outcome(before, "frontend", TOGGLED), "judged by what it speaks");
  assert.equal(outcome(after, "frontend", TOGGLED), "direct");
});
