import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import type { Parsed } from "../base/parse-result.ts";
import {
  arbitraryAuthorization,
  arbitraryJson,
  arbitraryService,
  arbitraryWorkload,
  record,
} from "../testing/arbitraries.ts";
import { decodeAddress, encodeAddress } from "./address-codec.ts";
import { decodeAuthorization, encodeAuthorization } from "./authorization-codec.ts";
import {
  decodeCertificateRequest,
  decodeCertificateResponse,
  encodeCertificateRequest,
  encodeCertificateResponse,
} from "./ca-codec.ts";
import {
  decodeDeltaRequest,
  decodeDeltaResponse,
  encodeDeltaRequest,
  encodeDeltaResponse,
} from "./xds-codec.ts";
import { decodeZdsAck, decodeZdsHello, decodeZdsRequest, encodeZdsRequest } from "./zds-codec.ts";

function valueOf<T>(result: Parsed<T>): T {
  assert.ok(result.ok, JSON.stringify(result));
  return result.value;
}

test("a workload survives encoding", () => {
  fc.assert(
    fc.property(arbitraryWorkload, (workload) => {
      assert.deepEqual(valueOf(decodeAddress(encodeAddress(workload))), { kind: "workload", workload });
    }),
    { numRuns: 500 },
  );
});

test("a service survives encoding", () => {
  fc.assert(
    fc.property(arbitraryService, (service) => {
      assert.deepEqual(valueOf(decodeAddress(encodeAddress(service))), { kind: "service", service });
    }),
    { numRuns: 500 },
  );
});

test("an authorization survives encoding", () => {
  fc.assert(
    fc.property(arbitraryAuthorization, (policy) => {
      assert.deepEqual(valueOf(decodeAuthorization(encodeAuthorization(policy))), policy);
    }),
    { numRuns: 500 },
  );
});

test("the bytes of a workload do not depend on the order of its maps and policy names", () => {
  fc.assert(
    fc.property(arbitraryWorkload, (workload) => {
      const shuffled = {
        ...workload,
        services: new Map([...workload.services].reverse()),
        authorizationPolicies: workload.authorizationPolicies.toReversed(),
      };
      assert.deepEqual(encodeAddress(shuffled), encodeAddress(workload));
    }),
  );
});

const version = fc.string({ maxLength: 20 });
const names = fc.array(fc.string({ maxLength: 60 }), { maxLength: 4 });

test("a delta request survives encoding", () => {
  const node = record({ id: version, cluster: version, metadata: arbitraryJson, buildVersion: version });
  const request = record({
    node: fc.option(node, { nil: undefined }),
    typeUrl: version,
    subscribe: names,
    unsubscribe: names,
    initialResourceVersions: fc.array(fc.tuple(version, version)).map((pairs) => new Map(pairs)),
    responseNonce: version,
    error: fc.option(record({ code: fc.nat(16), message: fc.string() }), { nil: undefined }),
  });
  fc.assert(
    fc.property(request, (value) => {
      assert.deepEqual(valueOf(decodeDeltaRequest(encodeDeltaRequest(value))), value);
    }),
  );
});

test("a delta response survives encoding", () => {
  const resource = record({
    name: version,
    version,
    aliases: names,
    typeUrl: fc.constantFrom("t", "u"),
    body: fc.uint8Array(),
  });
  const response = record({
    systemVersion: version,
    typeUrl: version,
    nonce: version,
    resources: fc.array(resource, { maxLength: 4 }),
    removed: names,
  });
  fc.assert(
    fc.property(response, (value) => {
      const decoded = valueOf(decodeDeltaResponse(encodeDeltaResponse(value)));
      const resources = decoded.resources.map((r) => ({ ...r, body: Uint8Array.from(r.body) }));
      assert.deepEqual({ ...decoded, resources }, value);
    }),
  );
});

test("CA messages survive encoding", () => {
  fc.assert(
    fc.property(fc.string(), fc.nat(), arbitraryJson, (csrPem, validitySeconds, metadata) => {
      const request = { csrPem, validitySeconds, metadata };
      assert.deepEqual(valueOf(decodeCertificateRequest(encodeCertificateRequest(request))), request);
    }),
  );
  fc.assert(
    fc.property(fc.array(fc.string(), { maxLength: 5 }), (certChain) => {
      assert.deepEqual(valueOf(decodeCertificateResponse(encodeCertificateResponse({ certChain }))), {
        certChain,
      });
    }),
  );
});

const DECODERS: readonly ((bytes: Uint8Array) => Parsed<unknown>)[] = [
  decodeAddress,
  decodeAuthorization,
  decodeCertificateRequest,
  decodeCertificateResponse,
  decodeDeltaRequest,
  decodeDeltaResponse,
  decodeZdsAck,
  decodeZdsHello,
  decodeZdsRequest,
];

test("every decoder gives an outcome for arbitrary bytes and never throws", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => {
      for (const decode of DECODERS) assert.equal(typeof decode(bytes).ok, "boolean");
    }),
    { numRuns: 2000 },
  );
});

test("every decoder gives an outcome for damaged messages and never throws", () => {
  const samples = fc.oneof(
    arbitraryWorkload.map(encodeAddress),
    arbitraryService.map(encodeAddress),
    arbitraryAuthorization.map(encodeAuthorization),
    fc.constant(encodeZdsRequest({ kind: "snapshot-sent" })),
  );
  const damage = fc.array(fc.tuple(fc.nat(400), fc.nat(255)), { minLength: 1, maxLength: 4 });
  fc.assert(
    fc.property(samples, damage, fc.nat(400), (sample, changes, cut) => {
      const bytes = Uint8Array.from(sample);
      for (const [at, value] of changes) bytes[at % Math.max(1, bytes.length)] = value;
      for (const decode of DECODERS) {
        decode(bytes);
        decode(bytes.subarray(0, cut));
      }
    }),
    { numRuns: 2000 },
  );
});
