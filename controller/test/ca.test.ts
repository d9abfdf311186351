/** The CA over real gRPC: every refusal first, then what is issued. */
import assert from "node:assert/strict";
import { createPrivateKey, generateKeyPairSync, X509Certificate } from "node:crypto";
import { after, before, test } from "node:test";
import { Client, credentials, type ServiceError, status } from "@grpc/grpc-js";
import { buildCsr } from "#core/identity/csr.ts";
import { spiffeId } from "#core/model/spiffe-id.ts";
import { type Ask, askCa } from "./ask-ca.ts";
import {
  account,
  eventually,
  type Harness,
  makeToken,
  namespace,
  pod,
  ROOTS,
  startHarness,
  ztunnelToken,
} from "./harness.ts";

let h: Harness;
let client: Client;
const { privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
const FRONTEND = "spiffe://cluster.local/ns/shop/sa/frontend";
const goodCsr = csrFor(privateKey);

before(async () => {
  h = await startHarness();
  client = new Client(
    `localhost:${h.controller.ports().grpc}`,
    credentials.createSsl(Buffer.from(h.rootsPem())),
    { "grpc.ssl_target_name_override": "istiod.istio-system.svc" },
  );
});
after(async () => {
  client.close();
  await h.stop();
});

function csrFor(key: typeof privateKey): string {
  const identity = spiffeId({ trustDomain: "evil", namespace: "evil", serviceAccount: "evil" });
  return buildCsr(identity, key);
}

function ask(options: Ask = {}): Promise<readonly string[]> {
  return askCa(client, {
    token: ztunnelToken(h, 1),
    csrPem: goodCsr,
    metadata: { ImpersonatedIdentity: FRONTEND },
    ...options,
  });
}

interface Refusal {
  readonly name: string;
  readonly ask: () => Ask;
  readonly code: number;
  /** What the log must say, for the operator alone. */
  readonly why: RegExp;
}

const as = (identity: string): Ask => ({ metadata: { ImpersonatedIdentity: identity } });
const withPod = (
  n: number,
  name: string,
  change: Parameters<typeof pod>[2]["metadata"],
  more: object = {},
): Ask => {
  account(h.api, "shop", name);
  h.api.put(
    ROOTS.pods,
    pod("shop", name, {
      node: `node-${n}`,
      ip: `10.244.${n}.77`,
      account: name,
      metadata: { labels: {}, ...change },
      ...more,
    }),
  );
  return as(`spiffe://cluster.local/ns/shop/sa/${name}`);
};
const longAgo = (): string => new Date(Date.now() - 61_000).toISOString();
const shortlyAgo = (): string => new Date(Date.now() - 5_000).toISOString();

const rsa = generateKeyPairSync("rsa", { modulusLength: 2_048 }).privateKey;
const p384 = generateKeyPairSync("ec", { namedCurve: "P-384" }).privateKey;
const tampered = (pem: string): string => {
  const der = Buffer.from(pem.replace(/-----[^-]+-----|\s/g, ""), "base64");
  der[der.length - 1] = (der.at(-1) ?? 0) ^ 1;
  const body = der.toString("base64").replace(/.{64}/g, "$&\n");
  return `-----BEGIN CERTIFICATE REQUEST-----\n${body}\n-----END CERTIFICATE REQUEST-----\n`;
};

const refusals: readonly Refusal[] = [
  {
    name: "without a token",
    ask: () => ({ token: "" }),
    code: status.UNAUTHENTICATED,
    why: /no bearer token/,
  },
  {
    name: "with junk for a token",
    ask: () => ({ token: "a.b" }),
    code: status.UNAUTHENTICATED,
    why: /not a JWT/,
  },
  {
    name: "with a token of another audience",
    ask: () => ({ token: makeToken({ aud: ["api"] }) }),
    code: status.UNAUTHENTICATED,
    why: /audience/,
  },
  {
    name: "with an expired token",
    ask: () => ({ token: makeToken({ exp: 1 }) }),
    code: status.UNAUTHENTICATED,
    why: /expired/,
  },
  {
    name: "with a token without issuer",
    ask: () => ({ token: makeToken({ iss: "" }) }),
    code: status.UNAUTHENTICATED,
    why: /issuer/,
  },
  {
    name: "with a user's token",
    ask: () => ({ token: makeToken({ sub: "alice" }) }),
    code: status.UNAUTHENTICATED,
    why: /service account/,
  },
  {
    name: "with a token that the review refuses",
    ask: () => ({ token: makeToken() }),
    code: status.UNAUTHENTICATED,
    why: /not authenticated/,
  },
  {
    name: "reviewed for another audience",
    ask: () => ({ token: ztunnelToken(h, 1, { audiences: ["api"] }) }),
    code: status.UNAUTHENTICATED,
    why: /audience/,
  },
  {
    name: "reviewed as a user",
    ask: () => ({ token: ztunnelToken(h, 1, { account: "alice" }) }),
    code: status.UNAUTHENTICATED,
    why: /service account/,
  },
  {
    name: "with a token that is bound to no pod",
    ask: () => ({ token: ztunnelToken(h, 1, { podName: "", podUid: "" }) }),
    code: status.UNAUTHENTICATED,
    why: /bound to a pod/,
  },
  {
    name: "with a token that is bound to no node",
    ask: () => ({ token: ztunnelToken(h, 1, { node: "" }) }),
    code: status.UNAUTHENTICATED,
    why: /bound to a node/,
  },
  {
    name: "from an unknown cluster",
    ask: () => ({ clusterId: "elsewhere" }),
    code: status.UNAUTHENTICATED,
    why: /cluster/,
  },
  {
    name: "from a pod that has not been seen",
    ask: () => ({ token: ztunnelToken(h, 9) }),
    code: status.UNAVAILABLE,
    why: /not been seen/,
  },
  {
    name: "from an earlier pod of the name",
    ask: () => ({ token: ztunnelToken(h, 1, { podUid: "earlier" }) }),
    code: status.UNAUTHENTICATED,
    why: /earlier pod/,
  },
  {
    name: "of an earlier account of the name",
    ask: () => ({ token: ztunnelToken(h, 1, { accountUid: "earlier" }) }),
    code: status.UNAUTHENTICATED,
    why: /earlier account/,
  },
  {
    name: "naming another node",
    ask: () => ({ token: ztunnelToken(h, 1, { node: "node-2" }) }),
    code: status.UNAUTHENTICATED,
    why: /another node/,
  },
  {
    name: "under another account than the pod's",
    ask: () => ({ token: ztunnelToken(h, 1, { account: "system:serviceaccount:istio-system:other" }) }),
    code: status.UNAVAILABLE,
    why: /account has not been seen/,
  },
  {
    name: "for its own identity",
    ask: () => ({ metadata: {} }),
    code: status.UNAUTHENTICATED,
    why: /own identity/,
  },
  {
    name: "by a pod that is no ztunnel",
    ask: () => ({
      token: ztunnelToken(h, 1, {
        account: "system:serviceaccount:shop:frontend",
        accountUid: "uid-account-frontend",
        podName: "frontend",
        podUid: "uid-frontend",
      }),
    }),
    code: status.UNAUTHENTICATED,
    why: /may not ask/,
  },
  {
    name: "for an identity of another node",
    ask: () => as("spiffe://cluster.local/ns/shop/sa/catalog"),
    code: status.UNAVAILABLE,
    why: /no pod has been seen/,
  },
  {
    name: "for an account without a pod",
    ask: () => as("spiffe://cluster.local/ns/shop/sa/nobody"),
    code: status.UNAVAILABLE,
    why: /no pod has been seen/,
  },
  {
    name: "for another trust domain",
    ask: () => as("spiffe://other/ns/shop/sa/frontend"),
    code: status.UNAUTHENTICATED,
    why: /trust domain/,
  },
  {
    name: "for a malformed identity",
    ask: () => as("spiffe://cluster.local/ns/shop/sa/frontend/x"),
    code: status.UNAUTHENTICATED,
    why: /malformed/,
  },
  {
    name: "for an identity that is not text",
    ask: () => ({ metadata: { ImpersonatedIdentity: 7 } }),
    code: status.UNAUTHENTICATED,
    why: /malformed/,
  },
  {
    name: "for an impossible account name",
    ask: () => as("spiffe://cluster.local/ns/Shop/sa/frontend"),
    code: status.UNAUTHENTICATED,
    why: /no possible account/,
  },
  {
    name: "for ztunnel's own account",
    ask: () => as("spiffe://cluster.local/ns/istio-system/sa/ztunnel"),
    code: status.UNAUTHENTICATED,
    why: /mesh itself/,
  },
  {
    name: "for the controller's account",
    ask: () => as("spiffe://cluster.local/ns/istio-system/sa/ambit-controller"),
    code: status.UNAUTHENTICATED,
    why: /mesh itself/,
  },
  {
    name: "for the node agent's account",
    ask: () => as("spiffe://cluster.local/ns/istio-system/sa/istio-cni"),
    code: status.UNAUTHENTICATED,
    why: /mesh itself/,
  },
  {
    name: "for a mirror pod's account",
    ask: () => withPod(1, "mirror", { annotations: { "kubernetes.io/config.mirror": "x" } }),
    code: status.UNAUTHENTICATED,
    why: /no eligible pod/,
  },
  {
    name: "for default because of a pod without account",
    ask: () => {
      h.api.put(ROOTS.pods, pod("shop", "static", { node: "node-1", ip: "10.244.1.78", account: "" }));
      return as("spiffe://cluster.local/ns/shop/sa/default");
    },
    code: status.UNAVAILABLE,
    why: /no pod has been seen/,
  },
  {
    name: "for a hostNetwork pod's account",
    ask: () => withPod(1, "hosty", {}, { spec: { hostNetwork: true } }),
    code: status.UNAUTHENTICATED,
    why: /no eligible pod/,
  },
  {
    name: "for a pod that has ended",
    ask: () => withPod(1, "ended", {}, { status: { phase: "Succeeded" } }),
    code: status.UNAUTHENTICATED,
    why: /no eligible pod/,
  },
  {
    name: "for a pod that should have ended",
    ask: () => withPod(1, "lingering", { deletionTimestamp: longAgo() }),
    code: status.UNAUTHENTICATED,
    why: /no eligible pod/,
  },
  {
    name: "for a pod that has opted out",
    ask: () => withPod(1, "optout", { labels: { "istio.io/dataplane-mode": "none" } }),
    code: status.UNAVAILABLE,
    why: /with a label for the mesh/,
  },
  {
    name: "for a pod outside the mesh",
    ask: () => {
      account(h.api, "other", "stranger");
      h.api.put(
        ROOTS.pods,
        pod("other", "stranger", { node: "node-1", ip: "10.244.1.79", account: "stranger" }),
      );
      return as("spiffe://cluster.local/ns/other/sa/stranger");
    },
    code: status.UNAVAILABLE,
    why: /with a label for the mesh/,
  },
  {
    name: "with a longer life than allowed",
    ask: () => ({ validitySeconds: 86_401 }),
    code: status.INVALID_ARGUMENT,
    why: /longer than/,
  },
  {
    name: "with a CSR that is too large",
    ask: () => ({ csrPem: goodCsr + "x".repeat(17_000) }),
    code: status.INVALID_ARGUMENT,
    why: /larger than/,
  },
  {
    name: "with a CSR over an RSA key",
    ask: () => ({ csrPem: csrFor(rsa) }),
    code: status.INVALID_ARGUMENT,
    why: /CSR/,
  },
  {
    name: "with a CSR over P-384",
    ask: () => ({ csrPem: csrFor(p384) }),
    code: status.INVALID_ARGUMENT,
    why: /P-256/,
  },
  {
    name: "with a CSR of a bad signature",
    ask: () => ({ csrPem: tampered(goodCsr) }),
    code: status.INVALID_ARGUMENT,
    why: /CSR/,
  },
  { name: "with no CSR", ask: () => ({ csrPem: "" }), code: status.INVALID_ARGUMENT, why: /CSR/ },
  {
    name: "that is no protobuf",
    ask: () => ({ raw: Buffer.from("ffffffff", "hex") }),
    code: status.INVALID_ARGUMENT,
    why: /./,
  },
  {
    name: "that is too large",
    ask: () => ({ raw: Buffer.alloc(70_000) }),
    code: status.INVALID_ARGUMENT,
    why: /./,
  },
];

for (const { name, ask: options, code, why } of refusals) {
  test(`a certificate request ${name} is refused`, async () => {
    const question = options();
    // What the case has changed must have reached the controller, or the refusal would prove nothing.
    await settled();
    const before = h.log.length;
    const error = await ask(question).then(
      () => assert.fail("it was issued"),
      (caught: unknown) => caught as ServiceError,
    );
    assert.equal(error.code, code, error.message);
    assert.doesNotMatch(error.details, /eligible|node-|uid|shop/, "the caller learns nothing");
    if (name === "that is too large") return; // gRPC itself does not read it
    const audit = h.log.slice(before).filter((line) => line.includes("certificate refused"));
    assert.equal(audit.length, 1, "one line for the operator");
    assert.match(audit.join(""), why);
    assert.doesNotMatch(audit.join(""), /eyJ|Bearer|PRIVATE KEY|BEGIN/, "no secret in it");
  });
}

/** Every change made so far has passed the informers: a marker made last is visible. */
let marker = 0;
async function settled(): Promise<void> {
  const name = `marker-${++marker}`;
  h.api.put(
    ROOTS.pods,
    pod("shop", name, { node: "node-2", ip: `10.244.2.${100 + (marker % 100)}`, account: "marker" }),
  );
  const url = `http://127.0.0.1:${h.controller.ports().debug}/debug/ambientz`;
  for (let i = 0; i < 400; i++) if ((await (await fetch(url)).text()).includes(name)) return;
  throw new Error("the informers do not follow");
}

test("a pod of the ztunnel's node gets a certificate: our identity alone, the CSR's key, a bounded life", async () => {
  const chain = await ask();
  assert.equal(chain.length, 2, "leaf and roots");
  const leaf = new X509Certificate(chain[0] ?? "");
  const root = new X509Certificate(chain[1] ?? "");
  assert.ok(leaf.verify(root.publicKey));
  assert.equal(leaf.subjectAltName, `URI:${FRONTEND}`);
  assert.equal(leaf.ca, false);
  assert.ok(leaf.checkPrivateKey(createPrivateKey(privateKey.export({ type: "pkcs8", format: "pem" }))));
  const lifeMs = Date.parse(leaf.validTo) - Date.now();
  assert.ok(lifeMs > 3_500_000 && lifeMs <= 3_600_000, `${lifeMs}`);
  assert.ok(Date.parse(leaf.validFrom) < Date.now() - 100_000, "behind by two minutes");
  assert.ok(h.log.some((line) => line.includes("certificate issued") && line.includes(FRONTEND)));
  assert.ok(!h.log.some((line) => line.includes("PRIVATE KEY") || line.includes("Bearer")));
});

test("who asks before the label has arrived is told to come back, and is served when it has", async () => {
  h.api.put(ROOTS.namespaces, namespace("late"));
  h.api.put(ROOTS.pods, pod("late", "early", { node: "node-1", ip: "10.244.1.81", account: "early" }));
  await settled();
  const ofLate = as("spiffe://cluster.local/ns/late/sa/early");
  await assert.rejects(ask(ofLate), { code: status.UNAVAILABLE });
  h.api.put(ROOTS.namespaces, namespace("late", { "istio.io/dataplane-mode": "ambient" }));
  await settled();
  assert.equal((await ask(ofLate)).length, 2);
});

test("a terminating pod is served for a minute more", async () => {
  const question = withPod(1, "leaving", { deletionTimestamp: shortlyAgo() });
  await settled();
  assert.equal((await ask(question)).length, 2);
});

test("a node in quarantine is refused", async () => {
  const label = { "node-restriction.kubernetes.io/ambit-quarantine": "true" };
  h.api.put(ROOTS.nodes, { metadata: { name: "node-1", labels: label } });
  await settled();
  await assert.rejects(ask(), (error: ServiceError) => error.code === status.UNAUTHENTICATED);
  h.api.put(ROOTS.nodes, { metadata: { name: "node-1" }, spec: { podCIDRs: ["10.244.1.0/24"] } });
  await settled();
  assert.equal((await ask()).length, 2);
});

test("one token is reviewed once, though it asks often; the pod behind it is looked at every time", async () => {
  const token = ztunnelToken(h, 1);
  const before = h.reviewCount();
  await Promise.all(Array.from({ length: 20 }, () => ask({ token })));
  assert.equal(h.reviewCount() - before, 1);
  h.api.put(
    ROOTS.pods,
    pod("istio-system", "ztunnel-1", {
      node: "node-1",
      ip: "10.244.1.2",
      account: "ztunnel",
      uid: "another",
    }),
  );
  await settled();
  await assert.rejects(ask({ token }), (error: ServiceError) => error.code === status.UNAUTHENTICATED);
  h.api.put(
    ROOTS.pods,
    pod("istio-system", "ztunnel-1", { node: "node-1", ip: "10.244.1.2", account: "ztunnel" }),
  );
  await settled();
});

test("with the API away known tokens go on working and unknown ones are told to come back", async () => {
  const token = ztunnelToken(h, 1);
  await ask({ token });
  const usual = h.api.intercept;
  h.api.intercept = () => ({ status: 503, body: {} });
  assert.equal((await ask({ token })).length, 2);
  await assert.rejects(ask(), (error: ServiceError) => error.code === status.UNAVAILABLE);
  h.api.intercept = usual;
});

test("roots are in every namespace, and in a new one soon", async () => {
  const roots = (name: string): string =>
    JSON.stringify(h.api.get(ROOTS.configMaps, `${name}/istio-ca-root-cert`) ?? {});
  await eventually("present", () =>
    ["istio-system", "shop", "other"].every((name) => roots(name).includes("BEGIN CERTIFICATE")),
  );
  h.api.put(ROOTS.namespaces, namespace("fresh"));
  h.api.put(ROOTS.namespaces, namespace("kube-public"));
  await eventually("in the new one", () => roots("fresh").includes("BEGIN CERTIFICATE"));
  assert.equal(roots("kube-public"), "{}");
  assert.ok(!roots("shop").includes("PRIVATE"));
});

test("an alias of the trust domain is believed from peers, never issued", async () => {
  const mesh = "trustDomain: cluster.local\ntrustDomainAliases: [old.domain]\n";
  const other = await startHarness({
    seed: (api) => {
      api.put(ROOTS.secrets, h.api.get(ROOTS.secrets, "istio-system/istio-ca-secret") ?? {});
      api.put(ROOTS.configMaps, { metadata: { namespace: "istio-system", name: "istio" }, data: { mesh } });
    },
  });
  const [usual, its] = [client, ztunnelToken(other, 1)];
  client = new Client(
    `localhost:${other.controller.ports().grpc}`,
    credentials.createSsl(Buffer.from(other.rootsPem())),
    { "grpc.ssl_target_name_override": "istiod.istio-system.svc" },
  );
  try {
    await assert.rejects(ask({ ...as("spiffe://old.domain/ns/shop/sa/frontend"), token: its }), {
      code: status.UNAUTHENTICATED,
    });
    assert.equal((await ask({ token: its })).length, 2);
  } finally {
    client.close();
    client = usual;
    await other.stop();
  }
});

test("a second controller uses the root that the first has made", async () => {
  const other = await startHarness({
    seed: (api) => api.put(ROOTS.secrets, h.api.get(ROOTS.secrets, "istio-system/istio-ca-secret") ?? {}),
  });
  assert.equal(other.rootsPem(), h.rootsPem());
  await other.stop();
});
