import assert from "node:assert/strict";
import { test } from "node:test";
import { spiffeId } from "#core/model/spiffe-id.ts";
import { aService, aWorkload } from "#core/testing/builders.ts";
import { Registry } from "prom-client";
import { Histogram } from "./histogram.ts";
import { partyOfBaggage } from "./labels.ts";
import type { RequestSubject } from "./request-metrics.ts";
import { WaypointMetrics } from "./waypoint-metrics.ts";

const identity = (serviceAccount: string) =>
  spiffeId({ trustDomain: "cluster.local", namespace: "shop", serviceAccount });
const subject = (given: Partial<RequestSubject> = {}): RequestSubject => ({
  source: aWorkload({ workloadName: "frontend" }),
  sourceIdentity: identity("frontend"),
  destination: aWorkload({ workloadName: "catalog" }),
  destinationIdentity: identity("catalog"),
  service: aService(),
  ...given,
});
const COUNTS = {
  protocol: "http",
  status: 200,
  grpcStatus: "",
  flag: "-",
  durationMs: 3,
  requestBytes: 0,
  responseBytes: 700,
} as const;

async function scrape(metrics: WaypointMetrics): Promise<readonly string[]> {
  const registry = new Registry();
  metrics.register(registry);
  return (await registry.metrics()).split("\n");
}

test("a histogram counts into every bucket above the value, and beyond the last in the total alone", () => {
  const histogram = new Histogram();
  for (const value of [0, 0.5, 0.6, 3_600_000, 3_600_001]) histogram.observe(value);
  const values = histogram.values("h", {});
  const of = (le: string): number | undefined => values.find(({ labels }) => labels["le"] === le)?.value;
  assert.equal(of("0.5"), 2);
  assert.equal(of("1"), 3);
  assert.equal(of("1800000"), 3);
  assert.equal(of("3600000"), 4);
  assert.equal(of("+Inf"), 5);
  assert.equal(values.find(({ metricName }) => metricName === "h_count")?.value, 5);
  assert.equal(values.find(({ metricName }) => metricName === "h_sum")?.value, 7_200_002.1);
});

test("labels are Istio's, all of them and no others", async () => {
  const side = (of: string): readonly string[] =>
    [
      "app",
      "canonical_revision",
      "canonical_service",
      "cluster",
      "principal",
      "version",
      "workload",
      "workload_namespace",
    ].map((name) => `${of}_${name}`);
  const common = [
    ...side("source"),
    ...side("destination"),
    "destination_service",
    "destination_service_name",
    "destination_service_namespace",
    "reporter",
    "request_protocol",
    "response_flags",
    "connection_security_policy",
  ];
  const metrics = new WaypointMetrics(() => 0);
  metrics.requests.group(subject()).add(COUNTS);
  metrics.requests
    .group(subject({ source: undefined }))
    .add({ ...COUNTS, protocol: "grpc", grpcStatus: "0" });
  metrics.connections.opened(subject());
  const lines = await scrape(metrics);
  const names = (metric: string, protocol: string): readonly string[] => {
    const line = lines.find((one) => one.startsWith(`${metric}{`) && one.includes(`protocol="${protocol}"`));
    return [...(line ?? "").matchAll(/([a-z_]+)="/g)].map(([, name]) => name ?? "").toSorted();
  };
  const expect = (...more: readonly string[]): readonly string[] => [...common, ...more].toSorted();
  for (const metric of ["istio_requests_total", "istio_request_duration_milliseconds_sum"]) {
    assert.deepEqual(names(metric, "http"), expect("response_code"), metric);
    assert.deepEqual(names(metric, "grpc"), expect("response_code", "grpc_response_status"), metric);
  }
  assert.deepEqual(names("istio_tcp_connections_opened_total", "tcp"), expect());
});

test("one series per status, flag and protocol; equal subjects share them", async () => {
  const metrics = new WaypointMetrics(() => 0);
  metrics.requests.group(subject()).add(COUNTS);
  metrics.requests.group(subject()).add(COUNTS);
  metrics.requests.group(subject()).add({ ...COUNTS, status: 503, flag: "UH" });
  metrics.requests.group(subject()).add({ ...COUNTS, protocol: "grpc", grpcStatus: "7" });
  const lines = (await scrape(metrics)).filter((line) => line.startsWith("istio_requests_total{"));
  assert.equal(lines.length, 3);
  assert.match(lines[0] ?? "", /response_code="200",response_flags="-".* 2$/);
  assert.match(lines[1] ?? "", /response_code="503",response_flags="UH".* 1$/);
  assert.match(lines[2] ?? "", /request_protocol="grpc",response_code="200",grpc_response_status="7"/);
});

test("a caller that nobody knows is unknown, its identity is not", async () => {
  const metrics = new WaypointMetrics(() => 0);
  metrics.requests
    .group(subject({ source: undefined, destination: undefined, service: undefined }))
    .add(COUNTS);
  const line = (await scrape(metrics)).find((text) => text.startsWith("istio_requests_total{")) ?? "";
  assert.match(line, /source_workload="unknown"/);
  assert.match(line, /source_principal="spiffe:\/\/cluster.local\/ns\/shop\/sa\/frontend"/);
  assert.match(line, /destination_service="unknown"/);
});

test("baggage of another namespace than the certificate's is nobody", () => {
  const fields = { namespace: "shop", workloadName: "web" };
  assert.equal(partyOfBaggage(fields, "evil"), undefined);
  assert.equal(partyOfBaggage({}, "shop"), undefined);
  assert.equal(partyOfBaggage(fields, "shop")?.workloadName, "web");
});

test("series are bounded: the oldest caller's go", async () => {
  const metrics = new WaypointMetrics(() => 0);
  for (let i = 0; i <= 1_000; i++) {
    metrics.requests.group(subject({ sourceIdentity: identity(`caller-${i}`) })).add(COUNTS);
  }
  const lines = (await scrape(metrics)).filter((line) => line.startsWith("istio_requests_total{"));
  assert.equal(lines.length, 1_000);
  assert.ok(!lines.some((line) => line.includes('sa/caller-0"')));
});
