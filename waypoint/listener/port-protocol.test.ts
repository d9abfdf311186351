/** What a port is taken for: at the waypoint, and by sources that go past it. Both must say the same. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { podWorkloadUid, serviceKey } from "#core/model/ids.ts";
import type { AppProtocol, Service } from "#core/model/service.ts";
import type { Workload } from "#core/model/workload.ts";
import { ip } from "#core/net/ip.ts";
import { isDeclaredTcp, isServicePortTcp } from "#core/state/declared-ports.ts";
import { MeshState } from "#core/state/mesh-state.ts";
import { aService, aWorkload } from "#core/testing/builders.ts";
import { servicePortProtocol, workloadPortProtocol } from "./port-protocol.ts";

interface Given {
  /** What services say of port 7000 of the pods; the first is the one that is dialled. */
  readonly declared: readonly AppProtocol[];
  /** By pod: whether its owner keeps port 7000 from waypoints. */
  readonly excluded: readonly boolean[];
}

interface Mesh {
  readonly view: MeshState;
  readonly services: readonly Service[];
  readonly pods: readonly Workload[];
}

function mesh({ declared, excluded }: Given): Mesh {
  const services = declared.map((appProtocol, i) =>
    aService({
      name: `s${i}`,
      hostname: `s${i}.default.svc.cluster.local`,
      ports: [{ servicePort: 70, targetPort: 7_000, appProtocol }],
    }),
  );
  const memberships = new Map(
    services.map(({ namespace, hostname }) => [serviceKey(namespace, hostname), new Map([[70, 7_000]])]),
  );
  const pods = excluded.map((isExcluded, i) =>
    aWorkload({
      uid: podWorkloadUid("Kubernetes", "default", `p${i}`),
      addresses: [ip(`10.0.0.${i + 1}`)],
      services: memberships,
      excludedPorts: isExcluded ? [7_000] : [],
    }),
  );
  const view = new MeshState();
  view.commit({
    upserts: [
      ...services.map((service) => ({ kind: "service", service }) as const),
      ...pods.map((workload) => ({ kind: "workload", workload }) as const),
    ],
    removals: [],
  });
  return { view, services, pods };
}

const CASES: readonly (Given & {
  readonly name: string;
  readonly service: string;
  readonly pods: readonly string[];
})[] = [
  {
    name: "an undeclared port that one pod of two is kept from",
    declared: ["unknown"],
    excluded: [true, false],
    service: "detect",
    pods: ["tcp", "detect"],
  },
  {
    name: "an undeclared port that all pods are kept from",
    declared: ["unknown"],
    excluded: [true, true],
    service: "tcp",
    pods: ["tcp", "tcp"],
  },
  {
    name: "a port that is kept from waypoints and declared HTTP: HTTP wins",
    declared: ["http11"],
    excluded: [true],
    service: "http",
    pods: ["http"],
  },
  {
    name: "the same with HTTP declared by another service",
    declared: ["unknown", "grpc"],
    excluded: [true],
    service: "http",
    pods: ["http"],
  },
  {
    name: "a port declared TCP and, by another service, not at all",
    declared: ["tcp", "unknown"],
    excluded: [false, true],
    service: "detect",
    pods: ["detect", "tcp"],
  },
  {
    name: "an undeclared port without endpoints",
    declared: ["unknown"],
    excluded: [],
    service: "detect",
    pods: [],
  },
];
for (const { name, service, pods, ...given } of CASES) {
  test(`${name}: ${service}`, () => {
    const { view, services, pods: workloads } = mesh(given);
    const [dialled] = services;
    const port = dialled?.ports[0];
    assert.ok(dialled !== undefined && port !== undefined);
    assert.equal(servicePortProtocol(view, dialled, port), service);
    assert.deepEqual(
      workloads.map((workload) => workloadPortProtocol(view, workload, 7_000)),
      pods,
    );
  });
}

test("a port without any service is detected, unless its owner keeps it from waypoints", () => {
  const { view } = mesh({ declared: [], excluded: [] });
  assert.equal(workloadPortProtocol(view, aWorkload(), 7_000), "detect");
  assert.equal(workloadPortProtocol(view, aWorkload({ excludedPorts: [7_000] }), 7_000), "tcp");
  assert.equal(workloadPortProtocol(view, aWorkload({ excludedPorts: [7_000] }), 7_001), "detect");
});

const protocols = fc.constantFrom<AppProtocol>("unknown", "http11", "http2", "grpc", "tcp", "tls");

test("a waypoint takes for TCP what sources send past it, and nothing else", () => {
  let past = 0;
  fc.assert(
    fc.property(
      fc.array(protocols, { minLength: 1, maxLength: 3 }),
      fc.array(fc.boolean(), { minLength: 1, maxLength: 3 }),
      (declared, excluded) => {
        const { view, services, pods } = mesh({ declared, excluded });
        const [dialled] = services;
        const port = dialled?.ports[0];
        assert.ok(dialled !== undefined && port !== undefined);
        const own = pods.map((pod) => isDeclaredTcp(view, pod, 7_000));
        for (const [i, pod] of pods.entries())
          assert.equal(workloadPortProtocol(view, pod, 7_000) === "tcp", own[i]);
        // A source asks the service, and then the endpoint that it has chosen.
        const goesPast = isServicePortTcp(view, dialled, 70) && own.every(Boolean);
        assert.equal(servicePortProtocol(view, dialled, port) === "tcp", goesPast);
        if (goesPast) past++;
      },
    ),
  );
  assert.ok(past > 5, `only ${past} went past`);
});
