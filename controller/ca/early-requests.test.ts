/** Who is ahead of the informers is told to come back, for a while; the rest of the refusals never become a "come back". */
import assert from "node:assert/strict";
import { generateKeyPairSync } from "node:crypto";
import { test } from "node:test";
import { status } from "@grpc/grpc-js";
import { buildCsr } from "#core/identity/csr.ts";
import type { NamespaceObject, PodObject } from "#core/k8s/object-types.ts";
import { spiffeId } from "#core/model/spiffe-id.ts";
import { createLog } from "#core/runtime/log.ts";
import { createManualClock } from "#core/testing/manual-clock.ts";
import { encodeCertificateRequest } from "#core/wire/ca-codec.ts";
import { type CaAnswer, CaService } from "./ca-service.ts";
import { makeSelfSignedRoot, readCaMaterial } from "./ca-material.ts";
import type { Caller } from "./caller-identity.ts";
import { waypointPods } from "../waypoints/gateway/waypoint-pods.ts";
import { EarlyRequests } from "./early-requests.ts";

const SHOP = { trustDomain: "cluster.local", namespace: "shop", serviceAccount: "web" };
const CALLER: Caller = {
  namespace: "istio-system",
  serviceAccount: "ztunnel",
  accountUid: "1",
  podName: "ztunnel-1",
  podUid: "2",
  nodeName: "n1",
  expiresMs: Number.MAX_SAFE_INTEGER,
};
const meta = (name: string, labels: Readonly<Record<string, string>>): NamespaceObject["metadata"] => ({
  namespace: "shop",
  name,
  uid: name,
  resourceVersion: "1",
  generation: 1,
  labels,
  annotations: {},
  creationMs: 0,
  deletionMs: undefined,
});
const AMBIENT = { "istio.io/dataplane-mode": "ambient" };

function aPod(change: Partial<PodObject> = {}, labels: Readonly<Record<string, string>> = {}): PodObject {
  return {
    metadata: meta("web", labels),
    owner: undefined,
    serviceAccount: "web",
    node: "n1",
    hostNetwork: false,
    ips: ["10.0.0.1"],
    ports: [],
    ready: true,
    phase: "Running",
    foreignProbeHosts: [],
    ...change,
  };
}

const clock = createManualClock();
const ca = readCaMaterial(makeSelfSignedRoot("cluster.local", clock.nowMs()));
const { privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
const bytes = encodeCertificateRequest({
  csrPem: buildCsr(spiffeId(SHOP), privateKey),
  validitySeconds: 3_600,
  metadata: { ImpersonatedIdentity: spiffeId(SHOP) },
});

interface Seen {
  pods: readonly PodObject[];
  labels: Readonly<Record<string, string>> | undefined;
}

/** A CA whose informers have `seen`; the answer is the code of a refusal, or `issued`. */
function caThatSees(seen: Seen): () => Promise<number | "issued"> {
  const service = new CaService({
    authenticator: { authenticate: () => Promise.resolve({ kind: "caller", caller: CALLER }) },
    material: () => (ca.ok ? ca.value : undefined),
    nodeCheck: () => ({
      trustDomain: "cluster.local",
      trustedNodeAccounts: ["istio-system/ztunnel"],
      reservedAccounts: [],
      enrolment: { systemNamespace: "istio-system", excludedNamespaces: ["kube-system"] },
    }),
    facts: {
      podsOn: () => seen.pods,
      namespace: (name) =>
        seen.labels === undefined ? undefined : { metadata: meta(name, seen.labels), terminating: false },
      pod: () => undefined,
    },
    waypoints: waypointPods({ recorded: () => undefined, replicaSet: () => undefined }),
    early: new EarlyRequests(() => clock.monotonicMs()),
    issue: { defaultTtlMs: 3_600_000, maxTtlMs: 3_600_000 },
    clock,
    log: createLog("ca", { level: "silent" }).root,
    count: () => undefined,
  });
  const credentials = { peer: "10.0.0.2:1", authorization: "", clusterId: "" };
  const code = (answer: CaAnswer): number | "issued" => (answer.kind === "issued" ? "issued" : answer.code);
  return async () => code(await service.createCertificate(bytes, credentials));
}

const DEFINITE: readonly (readonly [string, PodObject])[] = [
  ["a hostNetwork pod", aPod({ hostNetwork: true })],
  [
    "a mirror pod",
    aPod({ metadata: { ...meta("web", {}), annotations: { "kubernetes.io/config.mirror": "x" } } }),
  ],
  ["a pod that has ended", aPod({ phase: "Succeeded" })],
  [
    "a pod with a sidecar",
    aPod({ metadata: { ...meta("web", {}), annotations: { "sidecar.istio.io/status": "{}" } } }),
  ],
  ["a pod that should have ended", aPod({ metadata: { ...meta("web", {}), deletionMs: 1 } })],
  [
    "a pod of the mesh's own namespace",
    aPod({ metadata: { ...meta("web", AMBIENT), namespace: "istio-system" } }),
  ],
  ["a pod of an excluded namespace", aPod({ metadata: { ...meta("web", {}), namespace: "kube-system" } })],
];
for (const [what, pod] of DEFINITE) {
  test(`for ${what} the refusal is final at once, labelled or not`, async () => {
    for (const labels of [AMBIENT, {}, undefined]) {
      assert.equal(await caThatSees({ pods: [pod], labels })(), status.UNAUTHENTICATED);
    }
  });
}

const EARLY: readonly (readonly [string, Seen])[] = [
  ["no pod has been seen", { pods: [], labels: AMBIENT }],
  ["the namespace's label has not been seen", { pods: [aPod()], labels: {} }],
  ["the namespace has not been seen", { pods: [aPod()], labels: undefined }],
  [
    "the pod's own opt-out may be gone",
    { pods: [aPod({}, { "istio.io/dataplane-mode": "none" })], labels: AMBIENT },
  ],
];
for (const [what, seen] of EARLY) {
  test(`while ${what} the caller is told to come back, for half a minute and no longer`, async () => {
    const ask = caThatSees(seen);
    assert.equal(await ask(), status.UNAVAILABLE);
    await clock.advance(29_000);
    assert.equal(await ask(), status.UNAVAILABLE);
    await clock.advance(1_000);
    assert.equal(await ask(), status.UNAUTHENTICATED);
    await clock.advance(500_000);
    assert.equal(await ask(), status.UNAUTHENTICATED, "asking again and again buys no patience");
  });
}

test("when the label has arrived it is issued, also after the patience has ended; the next race is a new one", async () => {
  const seen: Seen = { pods: [aPod()], labels: {} };
  const ask = caThatSees(seen);
  assert.equal(await ask(), status.UNAVAILABLE);
  await clock.advance(60_000);
  assert.equal(await ask(), status.UNAUTHENTICATED);
  seen.labels = AMBIENT;
  assert.equal(await ask(), "issued");
  seen.labels = {};
  assert.equal(await ask(), status.UNAVAILABLE);
});

test("what is remembered of questions is bounded", async () => {
  const early = new EarlyRequests(() => clock.monotonicMs());
  assert.ok(early.mayBeEarly("n1", "shop/first"));
  await clock.advance(31_000);
  assert.ok(!early.mayBeEarly("n1", "shop/first"), "remembered");
  for (let i = 0; i < 4_096; i++) early.mayBeEarly("n1", `shop/${i}`);
  assert.ok(early.mayBeEarly("n1", "shop/first"), "forgotten, so it is a new question");
});
