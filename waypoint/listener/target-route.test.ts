/** Step W2 as a table: what a CONNECT leads to. Refusals first. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { formatTarget, parseTarget } from "#core/hbone/connect-request.ts";
import { serviceKey, type ServiceKey, type WorkloadUid } from "#core/model/ids.ts";
import type { Service } from "#core/model/service.ts";
import { spiffeId } from "#core/model/spiffe-id.ts";
import type { Workload } from "#core/model/workload.ts";
import { ip } from "#core/net/ip.ts";
import { MeshState } from "#core/state/mesh-state.ts";
import { aService, aWorkload } from "#core/testing/builders.ts";
import { compileSnapshot } from "../policy/snapshot.ts";
import { chooseTargetRoute, type TargetRoute } from "./target-route.ts";

const OWN = spiffeId({
  trustDomain: "cluster.local",
  namespace: "shop",
  serviceAccount: "ambit-waypoint",
});

const catalog = aService({
  name: "catalog",
  namespace: "shop",
  vips: [{ network: "", ip: ip("10.96.0.1") }],
  ports: [
    { servicePort: 80, targetPort: 8080, appProtocol: "http11" },
    { servicePort: 81, targetPort: 8081, appProtocol: "unknown" },
    { servicePort: 5432, targetPort: 5432, appProtocol: "tcp" },
    { servicePort: 443, targetPort: 8443, appProtocol: "tls" },
  ],
});
const catalogKey = serviceKey("shop", catalog.hostname);
const pod = aWorkload({
  name: "catalog-1",
  namespace: "shop",
  serviceAccount: "catalog",
  addresses: [ip("10.0.0.5")],
  services: new Map([[catalogKey, new Map()]]),
});
const unbound = aService({
  name: "other",
  namespace: "shop",
  vips: [{ network: "", ip: ip("10.96.0.2") }],
  ports: [{ servicePort: 80, targetPort: 8080, appProtocol: "tcp" }],
});
const stranger = aWorkload({ name: "other-1", namespace: "shop", addresses: [ip("10.0.0.6")] });
const twin = aWorkload({
  name: "twin-1",
  namespace: "shop",
  addresses: [ip("10.0.0.7")],
  serviceAccount: "ambit-waypoint",
});

interface Case {
  readonly name: string;
  readonly to: string;
  readonly expect: string;
  readonly services?: readonly Service[];
  readonly workloads?: readonly Workload[];
  readonly bound?: { readonly services?: readonly ServiceKey[]; readonly workloads?: readonly WorkloadUid[] };
}

const CASES: readonly Case[] = [
  { name: "an address that nobody has", to: "10.9.9.9:80", expect: "refused not-bound" },
  { name: "a service that is not bound", to: "10.96.0.2:80", expect: "refused not-bound" },
  { name: "a workload that is not bound", to: "10.0.0.6:8080", expect: "refused not-bound" },
  { name: "a port that the service does not have", to: "10.96.0.1:8080", expect: "refused no-such-port" },
  { name: "the waypoint's own address", to: "10.0.9.9:80", expect: "refused itself" },
  {
    name: "another pod of the waypoint, though bound",
    to: "10.0.0.7:80",
    expect: "refused itself",
    bound: { workloads: [twin.uid] },
  },
  { name: "a name that is not bound", to: "other.shop.svc.cluster.local:80", expect: "refused not-bound" },
  { name: "a name that nobody has", to: "nobody.shop.svc.cluster.local:80", expect: "refused not-bound" },
  {
    name: "an address of another network",
    to: "10.96.0.1:80",
    services: [{ ...catalog, vips: [{ network: "far", ip: ip("10.96.0.1") }] }],
    expect: "refused not-bound",
  },
  { name: "a bound service, declared HTTP", to: "10.96.0.1:80", expect: "service catalog:80 http" },
  { name: "a bound service, undeclared", to: "10.96.0.1:81", expect: "service catalog:81 detect" },
  { name: "a bound service, declared TCP", to: "10.96.0.1:5432", expect: "service catalog:5432 tcp" },
  { name: "a bound service, declared TLS", to: "10.96.0.1:443", expect: "service catalog:443 tcp" },
  { name: "a bound name", to: "catalog.shop.svc.cluster.local:80", expect: "service catalog:80 http" },
  { name: "a bound workload, declared HTTP", to: "10.0.0.5:8080", expect: "workload catalog-1:8080 http" },
  { name: "a bound workload, undeclared", to: "10.0.0.5:9999", expect: "workload catalog-1:9999 detect" },
  {
    name: "a bound workload, undeclared and kept from waypoints",
    to: "10.0.0.5:9999",
    workloads: [{ ...pod, excludedPorts: [9_999] }],
    expect: "workload catalog-1:9999 tcp",
  },
  { name: "a bound workload, declared TCP", to: "10.0.0.5:5432", expect: "workload catalog-1:5432 tcp" },
  {
    name: "an address that a service of another namespace claims too",
    to: "10.96.0.1:80",
    services: [catalog, { ...catalog, name: "thief", namespace: "evil", hostname: "catalog.evil.example" }],
    expect: "service catalog:80 http",
  },
  {
    name: "a service that only its own namespace may see",
    to: "10.96.0.8:80",
    services: [
      { ...catalog, namespace: "far", visibility: "namespace", vips: [{ network: "", ip: ip("10.96.0.8") }] },
    ],
    bound: { services: [serviceKey("far", catalog.hostname)] },
    expect: "service catalog:80 http",
  },
  {
    name: "a TCP port that another service of the pod declares HTTP",
    to: "10.96.0.3:1",
    services: [
      catalog,
      {
        ...catalog,
        name: "raw",
        hostname: "raw.shop.svc.cluster.local",
        vips: [{ network: "", ip: ip("10.96.0.3") }],
        ports: [{ servicePort: 1, targetPort: 8080, appProtocol: "tcp" }],
      },
    ],
    workloads: [
      {
        ...pod,
        services: new Map([
          [catalogKey, new Map()],
          [serviceKey("shop", "raw.shop.svc.cluster.local"), new Map()],
        ]),
      },
    ],
    bound: { services: [catalogKey, serviceKey("shop", "raw.shop.svc.cluster.local")] },
    expect: "service raw:1 http",
  },
  {
    name: "a named port, resolved by the workload",
    to: "10.0.0.5:3000",
    services: [{ ...catalog, ports: [{ servicePort: 80, targetPort: 0, appProtocol: "grpc" }] }],
    workloads: [{ ...pod, services: new Map([[catalogKey, new Map([[80, 3000]])]]) }],
    expect: "workload catalog-1:3000 http",
  },
];

for (const { name, to, expect, services, workloads, bound } of CASES) {
  test(`a CONNECT for ${name}: ${expect}`, () => {
    const state = new MeshState();
    state.commit({
      upserts: [
        ...(services ?? [catalog, unbound]).map((service) => ({ kind: "service", service }) as const),
        ...[...(workloads ?? [pod]), stranger, twin].map(
          (workload) => ({ kind: "workload", workload }) as const,
        ),
      ],
      removals: [],
    });
    const snapshot = compileSnapshot({
      name: "shop/ambit-waypoint",
      automatic: true,
      pathNormalization: "base",
      clientCertField: false,
      services: (bound?.services ?? [catalogKey]).map((service) => ({ service, policies: [] })),
      workloads: (bound?.workloads ?? [pod.uid]).map((workload) => ({ workload, policies: [] })),
      policies: [],
    });
    const target = parseTarget(to);
    assert.ok(target.ok);
    assert.equal(formatTarget(target.value), to);
    const route = chooseTargetRoute(state, snapshot, {
      target: target.value,
      network: "",
      localIp: ip("10.0.9.9"),
      ownIdentity: OWN,
    });
    assert.equal(summary(route), expect);
  });
}

function summary(route: TargetRoute): string {
  if (route.kind === "refused") return `refused ${route.reason}`;
  const name = route.kind === "service" ? route.service.name : route.workload.name;
  return `${route.kind} ${name}:${route.dialled.port} ${route.protocol}`;
}
