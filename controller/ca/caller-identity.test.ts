/** Who may call on 15012: cheap refusals first, so that junk costs the API server nothing; then the pod as it is now. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { NodeObject, ObjectMeta, PodObject, ServiceAccountObject } from "#core/k8s/object-types.ts";
import { AmbitError } from "#core/runtime/errors.ts";
import { parsed } from "#core/base/parse-result.ts";
import {
  Authenticator,
  type AuthenticatorDeps,
  type Caller,
  checkCallerPod,
  type ClusterView,
  type Credentials,
  QUARANTINE_LABEL,
  TERMINATION_GRACE_MS,
} from "./caller-identity.ts";
import { RateLimit } from "./rate-limit.ts";
import type { ReviewedToken } from "./reviewed-token.ts";

const NOW_MS = Date.UTC(2026, 0, 1);
const REVIEWED: ReviewedToken = {
  namespace: "istio-system",
  serviceAccount: "ztunnel",
  accountUid: "account-1",
  podName: "ztunnel-1",
  podUid: "pod-1",
  nodeName: "n1",
};
const CALLER: Caller = { ...REVIEWED, expiresMs: NOW_MS + 3_600_000 };

const meta = (uid: string, change: Partial<ObjectMeta> = {}): ObjectMeta => ({
  namespace: "istio-system",
  name: uid,
  uid,
  resourceVersion: "1",
  generation: 1,
  labels: {},
  annotations: {},
  creationMs: 0,
  deletionMs: undefined,
  ...change,
});
const aPod = (change: Partial<PodObject> = {}, metadata: Partial<ObjectMeta> = {}): PodObject => ({
  metadata: meta("pod-1", metadata),
  owner: undefined,
  serviceAccount: "ztunnel",
  node: "n1",
  hostNetwork: false,
  ips: ["10.0.0.2"],
  ports: [],
  ready: true,
  phase: "Running",
  foreignProbeHosts: [],
  ...change,
});
const anAccount = (uid = "account-1"): ServiceAccountObject => ({ metadata: meta(uid) });
const aNode = (labels: ObjectMeta["labels"] = {}): NodeObject => ({
  metadata: meta("n1", { labels }),
  podCidrs: [],
  addresses: [],
});

interface Seen {
  readonly pod?: PodObject | undefined;
  readonly account?: ServiceAccountObject | undefined;
  readonly node?: NodeObject | undefined;
}

const viewOf = (seen: Seen): ClusterView => ({
  pod: () => seen.pod,
  serviceAccount: () => seen.account,
  node: () => seen.node,
});
const usual: Seen = { pod: aPod(), account: anAccount(), node: aNode() };

const refusals: readonly (readonly [string, Seen, string])[] = [
  ["its pod has not been seen", { ...usual, pod: undefined }, "unavailable"],
  ["its account has not been seen", { ...usual, account: undefined }, "unavailable"],
  ["its pod is another of that name", { ...usual, pod: aPod({}, { uid: "pod-2" }) }, "unauthenticated"],
  ["its pod runs under another account", { ...usual, pod: aPod({ serviceAccount: "x" }) }, "unauthenticated"],
  ["its pod runs under no account", { ...usual, pod: aPod({ serviceAccount: "" }) }, "unauthenticated"],
  ["its pod runs elsewhere", { ...usual, pod: aPod({ node: "n2" }) }, "unauthenticated"],
  ["its account was made anew", { ...usual, account: anAccount("account-2") }, "unauthenticated"],
  ["its pod has succeeded", { ...usual, pod: aPod({ phase: "Succeeded" }) }, "unauthenticated"],
  ["its pod has failed", { ...usual, pod: aPod({ phase: "Failed" }) }, "unauthenticated"],
  [
    "its pod should have ended more than a minute ago",
    { ...usual, pod: aPod({}, { deletionMs: NOW_MS - TERMINATION_GRACE_MS - 1 }) },
    "unauthenticated",
  ],
  ["its node is in quarantine", { ...usual, node: aNode({ [QUARANTINE_LABEL]: "" }) }, "unauthenticated"],
];

for (const [name, seen, code] of refusals) {
  test(`a caller with a good token is refused when ${name}`, () => {
    const verdict = checkCallerPod(CALLER, viewOf(seen), NOW_MS);
    assert.equal(verdict.kind === "refused" && verdict.code, code);
  });
}

test("a caller whose pod is going away is heard for a minute more; one whose node has not been seen is heard", () => {
  const leaving = aPod({}, { deletionMs: NOW_MS - TERMINATION_GRACE_MS });
  assert.equal(checkCallerPod(CALLER, viewOf({ ...usual, pod: leaving }), NOW_MS).kind, "caller");
  assert.equal(checkCallerPod(CALLER, viewOf({ ...usual, node: undefined }), NOW_MS).kind, "caller");
});

interface Door {
  readonly authenticator: Authenticator;
  readonly reviewed: string[];
  seen: Seen;
  nowMs: number;
}

function door(change: Partial<AuthenticatorDeps> = {}): Door {
  const reviewed: string[] = [];
  const state: { seen: Seen; nowMs: number } = { seen: usual, nowMs: NOW_MS };
  const unlimited = new RateLimit({ perSecond: 1_000_000, burst: 1_000_000 }, () => state.nowMs);
  const reviews = {
    review: (token: string) => {
      reviewed.push(token);
      return Promise.resolve(parsed(REVIEWED));
    },
  } as unknown as AuthenticatorDeps["reviews"];
  const authenticator = new Authenticator({
    reviews,
    cluster: {
      pod: () => state.seen.pod,
      serviceAccount: () => state.seen.account,
      node: () => state.seen.node,
    },
    audiences: ["istio-ca"],
    clusterIds: ["Kubernetes"],
    perSource: unlimited,
    perCaller: unlimited,
    nowMs: () => state.nowMs,
    ...change,
  });
  return Object.assign(state, { authenticator, reviewed });
}

function tokenOf(claims: object = {}): string {
  const part = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString("base64url");
  const body = {
    aud: ["istio-ca"],
    exp: NOW_MS / 1_000 + 3_600,
    iss: "https://kubernetes.default.svc",
    sub: "system:serviceaccount:istio-system:ztunnel",
    ...claims,
  };
  return `${part({ alg: "RS256" })}.${part(body)}.c2ln`;
}
const bearer = (token: string, peer = "10.0.0.2:4000"): Credentials => ({
  peer,
  authorization: `Bearer ${token}`,
  clusterId: "Kubernetes",
});

async function codeOf(at: Door, credentials: Credentials): Promise<string> {
  const outcome = await at.authenticator.authenticate(credentials);
  return outcome.kind === "refused" ? outcome.code : outcome.kind;
}

test("junk never reaches the API server", async () => {
  const at = door();
  const junk: readonly Credentials[] = [
    { ...bearer(""), authorization: "" },
    { ...bearer(""), authorization: `Basic ${tokenOf()}` },
    { ...bearer(""), authorization: `Bearer ${tokenOf()} ${tokenOf()}` },
    bearer("a.b"),
    bearer("a.b.c"),
    bearer(`${"a".repeat(20_000)}.b.c`),
    bearer(tokenOf({ aud: ["api"] })),
    bearer(tokenOf({ aud: "istio-ca-not" })),
    bearer(tokenOf({ exp: NOW_MS / 1_000 })),
    bearer(tokenOf({ exp: undefined })),
    bearer(tokenOf({ iss: undefined })),
    bearer(tokenOf({ sub: "system:node:n1" })),
    { ...bearer(tokenOf()), clusterId: "elsewhere" },
  ];
  for (const credentials of junk)
    assert.equal(await codeOf(at, credentials), "unauthenticated", credentials.authorization.slice(0, 40));
  assert.deepEqual(at.reviewed, []);
  assert.equal(await codeOf(at, bearer(tokenOf())), "caller");
  assert.equal(at.reviewed.length, 1);
});

test("a source that asks too often is turned away before its token is looked at, whatever its port; others are not", async () => {
  const at = door({ perSource: new RateLimit({ perSecond: 1, burst: 3 }, () => NOW_MS) });
  const codes: string[] = [];
  for (let port = 1; port <= 5; port++) codes.push(await codeOf(at, bearer(tokenOf(), `10.0.0.2:${port}`)));
  assert.deepEqual(codes, ["caller", "caller", "caller", "too-many", "too-many"]);
  assert.equal(at.reviewed.length, 3);
  assert.equal(await codeOf(at, bearer(tokenOf(), "10.0.0.3:1")), "caller");
  assert.equal(await codeOf(at, bearer(tokenOf(), "[fd00::2]:1")), "caller");
});

test("a pod that asks too often is turned away, from whatever address it comes", async () => {
  const at = door({ perCaller: new RateLimit({ perSecond: 1, burst: 2 }, () => NOW_MS) });
  const codes: string[] = [];
  for (let n = 1; n <= 4; n++) codes.push(await codeOf(at, bearer(tokenOf(), `10.0.0.${n}:1`)));
  assert.deepEqual(codes, ["caller", "caller", "too-many", "too-many"]);
});

test("a token may carry a second audience beside ours", async () => {
  assert.equal(await codeOf(door(), bearer(tokenOf({ aud: ["api", "istio-ca"] }))), "caller");
});

test("an API server that cannot be asked is a matter of time; a bug is not hidden as one", async () => {
  const failing = (error: Error): Partial<AuthenticatorDeps> => ({
    reviews: { review: () => Promise.reject(error) } as unknown as AuthenticatorDeps["reviews"],
  });
  const away = new AmbitError("TOKEN_REVIEW_UNAVAILABLE", "away", { retryable: true });
  assert.equal(await codeOf(door(failing(away)), bearer(tokenOf())), "unavailable");
  await assert.rejects(codeOf(door(failing(new Error("a bug"))), bearer(tokenOf())), /a bug/);
});

test("a long stream ends with its token, and with its pod, though both were good when it began", () => {
  const at = door();
  assert.equal(at.authenticator.recheck(CALLER).kind, "caller");
  at.nowMs = CALLER.expiresMs;
  assert.equal(at.authenticator.recheck(CALLER).kind, "refused");
  at.nowMs = NOW_MS;
  at.seen = { ...usual, pod: aPod({ phase: "Succeeded" }) };
  assert.equal(at.authenticator.recheck(CALLER).kind, "refused");
});
