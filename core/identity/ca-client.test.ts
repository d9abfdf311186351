import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, beforeEach, test } from "node:test";
import { status } from "@grpc/grpc-js";
import { type SpiffeId, spiffeId } from "../model/spiffe-id.ts";
import { AmbitError } from "../runtime/errors.ts";
import { silentLogger } from "../runtime/log.ts";
import { type FakeCa, startFakeCa } from "../testing/fake-ca.ts";
import { readBearerToken } from "./bearer-token.ts";
import { CaClient, type CaClientDeps, type CaClientOptions } from "./ca-client.ts";
import type { WorkloadCertificate } from "./certificate.ts";
import { createFileCa } from "./file-ca.ts";
import { readTrustBundle } from "./trust-bundle.ts";

const WEB = spiffeId({ trustDomain: "cluster.local", namespace: "shop", serviceAccount: "web" });
const DB = spiffeId({ trustDomain: "cluster.local", namespace: "shop", serviceAccount: "db" });
const never = new AbortController().signal;
const ca = createFileCa({ trustDomain: "cluster.local" });
let server: FakeCa;

before(async () => {
  server = await startFakeCa(ca);
});
after(() => server.stop());
beforeEach(() => server.answerWith(undefined));

async function ask(
  identity: SpiffeId,
  deps: Partial<CaClientDeps> = {},
  options: Partial<CaClientOptions> = {},
  signal: AbortSignal = never,
): Promise<WorkloadCertificate> {
  const client = new CaClient(
    {
      log: silentLogger,
      readRoots: () => Promise.resolve(ca.rootPem),
      readToken: () => Promise.resolve("token"),
      ...deps,
    },
    {
      address: server.address,
      clusterId: "Kubernetes",
      validitySeconds: 3600,
      impersonate: true,
      timeoutMs: 5_000,
      ...options,
    },
  );
  try {
    return await client.issue(identity, signal);
  } finally {
    client.close();
  }
}

function failure(promise: Promise<unknown>): Promise<string> {
  return promise.then(
    () => "resolved",
    (error: unknown) =>
      error instanceof AmbitError ? `${error.code} ${error.retryable} ${error.message}` : String(error),
  );
}

test("without usable roots nothing is asked, least of all with the public web's", async () => {
  const before = server.calls.length;
  for (const roots of ["", "no pem", ca.issueNow(WEB).chainPem])
    assert.match(
      await failure(ask(WEB, { readRoots: () => Promise.resolve(roots) })),
      /TRUST_BUNDLE_UNUSABLE/,
    );
  assert.equal(server.calls.length, before);
});

test("a server of another root, or of another name, gets neither token nor request", async () => {
  const before = server.calls.length;
  const other = createFileCa({ trustDomain: "cluster.local" }).rootPem;
  assert.match(await failure(ask(WEB, { readRoots: () => Promise.resolve(other) })), /^CA_UNAVAILABLE true/);
  assert.match(await failure(ask(WEB, {}, { serverName: "other.test" })), /^CA_UNAVAILABLE true/);
  assert.equal(server.calls.length, before);
});

test("an answer for another identity or key is thrown away", async () => {
  const foreign = ca.issueNow(WEB);
  server.answerWith(() => ({ chain: [foreign.chainPem, ca.rootPem] }));
  assert.match(await failure(ask(WEB)), /^CA_BAD_ANSWER true .*another key/);
  assert.match(await failure(ask(DB)), /^CA_BAD_ANSWER true .*instead of .*db/);
  server.answerWith(() => ({ chain: [foreign.chainPem] }));
  assert.match(await failure(ask(WEB)), /^CA_BAD_ANSWER true .*no root/);
});

test("refusals are final or a matter of time", async () => {
  const cases: readonly (readonly [number, RegExp])[] = [
    [status.PERMISSION_DENIED, /^CA_REFUSED false .*PERMISSION_DENIED: why/],
    [status.INVALID_ARGUMENT, /^CA_REFUSED false/],
    [status.UNAUTHENTICATED, /^CA_UNAVAILABLE true/],
    [status.UNAVAILABLE, /^CA_UNAVAILABLE true/],
  ];
  for (const [code, expected] of cases) {
    server.answerWith(() => ({ code, details: "why" }));
    assert.match(await failure(ask(WEB)), expected);
  }
});

test("a CA that never answers is given up, at the deadline or when nobody waits any more", async () => {
  server.answerWith(() => "never");
  assert.match(await failure(ask(WEB, {}, { timeoutMs: 300 })), /^CA_UNAVAILABLE true .*DEADLINE_EXCEEDED/);
  const given = new AbortController();
  server.answerWith(() => {
    given.abort(new Error("nobody waits"));
    return "never";
  });
  assert.match(await failure(ask(WEB, {}, {}, given.signal)), /nobody waits/);
});

test("a CA that is not there is a matter of time", async () => {
  assert.match(await failure(ask(WEB, {}, { address: "localhost:1" })), /^CA_UNAVAILABLE true/);
});

test("a certificate comes for the identity asked for, with a new key each time", async () => {
  const first = await ask(WEB, {}, { clusterId: "c2" });
  const second = await ask(WEB);
  assert.deepEqual([first.identity, first.rootsPem], [WEB, [ca.rootPem]]);
  assert.notEqual(first.keyPem, second.keyPem);
  assert.ok(first.notAfterMs - Date.now() <= 3_600_000);
  const calls = server.calls.slice(-2);
  assert.deepEqual(
    calls.map((call) => [call.clusterId, call.request.metadata, call.request.validitySeconds]),
    [
      ["c2", { ImpersonatedIdentity: WEB }, 3600],
      ["Kubernetes", { ImpersonatedIdentity: WEB }, 3600],
    ],
  );
});

test("an own identity is asked for without impersonation", async () => {
  const seen = server.calls.length;
  await failure(ask(WEB, {}, { impersonate: false }));
  assert.deepEqual(server.calls[seen]?.request.metadata, {});
});

test("token and roots are read anew from their files", async () => {
  const dir = await mkdtemp(join(tmpdir(), "ambit-identity-"));
  const tokenFile = join(dir, "token");
  const rootFile = join(dir, "root.pem");
  writeFileSync(tokenFile, "first\n");
  writeFileSync(rootFile, ca.rootPem);
  const client = new CaClient(
    {
      log: silentLogger,
      readRoots: () => readTrustBundle(rootFile),
      readToken: () => readBearerToken(tokenFile),
    },
    { address: server.address, clusterId: "c", validitySeconds: 60, impersonate: true, timeoutMs: 5_000 },
  );
  await client.issue(WEB, never);
  writeFileSync(tokenFile, "second");
  writeFileSync(rootFile, ca.rootPem + createFileCa({ trustDomain: "x" }).rootPem);
  await client.issue(WEB, never);
  assert.deepEqual(
    server.calls.slice(-2).map((call) => call.token),
    ["first", "second"],
  );
  writeFileSync(tokenFile, "\n");
  assert.match(await failure(client.issue(WEB, never)), /TOKEN_UNREADABLE true .*holds no token/);
  await rm(dir, { recursive: true });
  assert.match(await failure(client.issue(WEB, never)), /_UN(READABLE|USABLE) true cannot read/);
  client.close();
});

test("a literal token and literal roots are used as they are", async () => {
  assert.equal(await readBearerToken("abc.def"), "abc.def");
  assert.equal(await readTrustBundle(ca.rootPem), ca.rootPem);
  assert.match(await failure(readBearerToken("two words")), /TOKEN_UNREADABLE/);
});
