/**
 * protobufjs, reading the .proto files beside the codecs, is the other implementation: it must find no unknown field in
 * what the codecs write, and write the same bytes for the same message.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import protobuf from "protobufjs";
import {
  arbitraryAuthorization,
  arbitraryJson,
  arbitraryService,
  arbitraryWorkload,
} from "../testing/arbitraries.ts";
import { aService, aStrictPolicy, aWorkload } from "../testing/builders.ts";
import { serviceKey } from "../model/ids.ts";
import { encodeAddress } from "./address-codec.ts";
import { encodeAuthorization } from "./authorization-codec.ts";
import { encodeCertificateRequest, encodeCertificateResponse } from "./ca-codec.ts";
import { encodeDeltaRequest, encodeDeltaResponse } from "./xds-codec.ts";
import { encodeZdsAck, encodeZdsHello, encodeZdsRequest } from "./zds-codec.ts";

function messageType(file: string, name: string): protobuf.Type {
  const root = new protobuf.Root();
  root.loadSync(`${import.meta.dirname}/proto/${file}.proto`);
  return root.lookupType(name);
}

const ADDRESS = messageType("workload", "istio.workload.Address");
const AUTHORIZATION = messageType("authorization", "istio.security.Authorization");

function assertSame(type: protobuf.Type, bytes: Uint8Array): void {
  const again = type.encode(type.decode(bytes)).finish();
  assert.equal(Buffer.from(again).toString("hex"), Buffer.from(bytes).toString("hex"));
}

function read(type: protobuf.Type, bytes: Uint8Array): unknown {
  return type.toObject(type.decode(bytes), { enums: String, bytes: String, longs: Number });
}

test("workloads", () => {
  fc.assert(fc.property(arbitraryWorkload, (workload) => assertSame(ADDRESS, encodeAddress(workload))));
});

test("services", () => {
  fc.assert(fc.property(arbitraryService, (service) => assertSame(ADDRESS, encodeAddress(service))));
});

test("authorizations", () => {
  fc.assert(
    fc.property(arbitraryAuthorization, (policy) => assertSame(AUTHORIZATION, encodeAuthorization(policy))),
  );
});

test("every field of a workload has its name", () => {
  const waypoint = {
    destination: { kind: "hostname", name: { namespace: "ns", hostname: "wp" } },
    hboneMtlsPort: 15_008,
  } as const;
  const workload = aWorkload({
    network: "net",
    trustDomain: "td2",
    waypoint,
    networkGateway: waypoint,
    workloadType: "job",
    nativeTunnel: true,
    authorizationPolicies: ["ns/p" as never],
    status: "unhealthy",
    hostname: "host",
    services: new Map([[serviceKey("ns", "h"), new Map([[80, 8080]])]]),
    applicationTunnel: { protocol: "proxy", port: 7 },
    locality: { region: "r", zone: "z", subzone: "s" },
    networkMode: "host-network",
    capacity: 3,
  });
  const gateway = { hostname: { namespace: "ns", hostname: "wp" }, hboneMtlsPort: 15_008 };
  assert.deepEqual(read(ADDRESS, encodeAddress(workload)), {
    workload: {
      name: "web-1",
      namespace: "default",
      addresses: [Buffer.from([10, 0, 0, 5]).toString("base64")],
      network: "net",
      tunnelProtocol: "HBONE",
      trustDomain: "td2",
      serviceAccount: "web",
      waypoint: gateway,
      node: "node1",
      canonicalName: "web",
      canonicalRevision: "latest",
      workloadType: "JOB",
      workloadName: "web",
      nativeTunnel: true,
      authorizationPolicies: ["ns/p"],
      status: "UNHEALTHY",
      clusterId: "Kubernetes",
      networkGateway: gateway,
      uid: "Kubernetes//Pod/default/web-1",
      hostname: "host",
      services: { "ns/h": { ports: [{ servicePort: 80, targetPort: 8080 }] } },
      applicationTunnel: { protocol: "PROXY", port: 7 },
      locality: { region: "r", zone: "z", subzone: "s" },
      networkMode: "HOST_NETWORK",
      capacity: { value: 3 },
    },
  });
});

test("every field of a service has its name", () => {
  const service = aService({
    loadBalancing: { mode: "failover", routingPreferences: ["network", "zone"], healthPolicy: "allow-all" },
    ipFamilies: "dual",
    ingressUseWaypoint: true,
    visibility: "namespace",
    ports: [{ servicePort: 80, targetPort: 8080, appProtocol: "http2" }],
  });
  assert.deepEqual(read(ADDRESS, encodeAddress(service)), {
    service: {
      name: "web",
      namespace: "default",
      hostname: "web.default.svc.cluster.local",
      addresses: [{ address: Buffer.from([10, 96, 0, 7]).toString("base64") }],
      ports: [{ servicePort: 80, targetPort: 8080, appProtocol: "HTTP2" }],
      loadBalancing: {
        routingPreference: ["NETWORK", "ZONE"],
        mode: "FAILOVER",
        healthPolicy: "ALLOW_ALL",
      },
      ipFamilies: "DUAL",
      canonical: true,
      ingressUseWaypoint: true,
      visibility: "NAMESPACE",
    },
  });
});

test("the strict policy has its names", () => {
  assert.deepEqual(read(AUTHORIZATION, encodeAuthorization(aStrictPolicy())), {
    name: "istio_converted_static_strict",
    namespace: "istio-system",
    scope: "WORKLOAD_SELECTOR",
    action: "DENY",
    rules: [{ clauses: [{ matches: [{ notPrincipals: [{ presence: {} }] }] }] }],
  });
});

test("pod announcements", () => {
  const request = messageType("zds", "istio.workload.zds.WorkloadRequest");
  const uid = "u" as never;
  assertSame(
    request,
    encodeZdsRequest({ kind: "add", uid, workload: { name: "n", namespace: "x", serviceAccount: "s" } }),
  );
  assert.deepEqual(read(request, encodeZdsRequest({ kind: "keep", uid })), { keep: { uid: "u" } });
  assert.deepEqual(read(request, encodeZdsRequest({ kind: "delete", uid })), { del: { uid: "u" } });
  assert.deepEqual(read(request, encodeZdsRequest({ kind: "snapshot-sent" })), { snapshotSent: {} });
  assert.deepEqual(read(messageType("zds", "istio.workload.zds.ZdsHello"), encodeZdsHello()), {
    version: "V1",
  });
  const response = messageType("zds", "istio.workload.zds.WorkloadResponse");
  assert.deepEqual(read(response, encodeZdsAck({ error: "e" })), { ack: { error: "e" } });
});

test("the CA's messages", () => {
  const request = messageType("ca", "istio.v1.auth.IstioCertificateRequest");
  fc.assert(
    fc.property(arbitraryJson, (metadata) =>
      assertSame(request, encodeCertificateRequest({ csrPem: "csr", validitySeconds: 86_400, metadata })),
    ),
  );
  const metadata = { ImpersonatedIdentity: "spiffe://td/ns/a/sa/b" };
  assert.deepEqual(
    read(request, encodeCertificateRequest({ csrPem: "csr", validitySeconds: 60, metadata })),
    {
      csr: "csr",
      validityDuration: 60,
      metadata: { fields: { ImpersonatedIdentity: { stringValue: "spiffe://td/ns/a/sa/b" } } },
    },
  );
  const response = messageType("ca", "istio.v1.auth.IstioCertificateResponse");
  assert.deepEqual(read(response, encodeCertificateResponse({ certChain: ["a", "b"] })), {
    certChain: ["a", "b"],
  });
});

test("delta xDS", () => {
  const request = messageType("xds", "envoy.service.discovery.v3.DeltaDiscoveryRequest");
  const bytes = encodeDeltaRequest({
    node: { id: "id", cluster: "c", metadata: { NODE_NAME: "n1" }, buildVersion: "b" },
    typeUrl: "t",
    subscribe: ["s"],
    unsubscribe: ["u"],
    initialResourceVersions: new Map([["r", "1"]]),
    responseNonce: "n",
    error: { code: 3, message: "m" },
  });
  assertSame(request, bytes);
  assert.deepEqual(read(request, bytes), {
    node: {
      id: "id",
      cluster: "c",
      metadata: { fields: { NODE_NAME: { stringValue: "n1" } } },
      buildVersion: "b",
    },
    typeUrl: "t",
    resourceNamesSubscribe: ["s"],
    resourceNamesUnsubscribe: ["u"],
    initialResourceVersions: { r: "1" },
    responseNonce: "n",
    errorDetail: { code: 3, message: "m" },
  });
  const response = messageType("xds", "envoy.service.discovery.v3.DeltaDiscoveryResponse");
  const resource = { name: "r", version: "1", aliases: ["a"], typeUrl: "t", body: Uint8Array.of(1) };
  const answer = { systemVersion: "v", typeUrl: "t", nonce: "n", resources: [resource], removed: ["x"] };
  assertSame(response, encodeDeltaResponse(answer));
  assert.deepEqual(read(response, encodeDeltaResponse(answer)), {
    systemVersionInfo: "v",
    resources: [{ version: "1", resource: { type_url: "t", value: "AQ==" }, name: "r", aliases: ["a"] }],
    typeUrl: "t",
    nonce: "n",
    removedResources: ["x"],
  });
});
