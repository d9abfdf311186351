/** What a controller tells strangers: nothing for a certificate alone, nothing of its key, nothing from outside its loopback. */
import assert from "node:assert/strict";
import { createPrivateKey, generateKeyPairSync } from "node:crypto";
import { networkInterfaces } from "node:os";
import { after, before, test } from "node:test";
import { Client, credentials, status } from "@grpc/grpc-js";
import { buildCsr } from "#core/identity/csr.ts";
import { jsonObject, jsonText } from "#core/k8s/json-read.ts";
import { spiffeId } from "#core/model/spiffe-id.ts";
import { askCa } from "./ask-ca.ts";
import { type Harness, makeToken, ROOTS, startHarness, ztunnelToken } from "./harness.ts";

let h: Harness;
before(async () => {
  h = await startHarness();
});
after(() => h.stop());

const FRONTEND = spiffeId({ trustDomain: "cluster.local", namespace: "shop", serviceAccount: "frontend" });
const key = generateKeyPairSync("ec", { namedCurve: "P-256" }).privateKey;
const keyPem = key.export({ type: "pkcs8", format: "pem" }) as string;
const csrPem = buildCsr(FRONTEND, key);
const metadata = { ImpersonatedIdentity: FRONTEND };

function open(cert?: string): Client {
  const roots = Buffer.from(h.rootsPem());
  const secure =
    cert === undefined
      ? credentials.createSsl(roots)
      : credentials.createSsl(roots, Buffer.from(keyPem), Buffer.from(cert));
  return new Client(`localhost:${h.controller.ports().grpc}`, secure, {
    "grpc.ssl_target_name_override": "istiod.istio-system.svc",
  });
}

test("a certificate of the mesh is nobody's identity here: without a good token it opens nothing", async () => {
  const plain = open();
  const [leaf = ""] = await askCa(plain, { token: ztunnelToken(h, 1), csrPem, metadata });
  plain.close();
  const holder = open(leaf);
  for (const token of ["", makeToken()]) {
    await assert.rejects(askCa(holder, { token, csrPem, metadata }), { code: status.UNAUTHENTICATED });
  }
  // The same connection with a good token works: it was the identity that was missing.
  assert.equal((await askCa(holder, { token: ztunnelToken(h, 1), csrPem, metadata })).length, 2);
  holder.close();
});

const PAGES = [
  "syncz",
  "ambientz",
  "problems",
  "health",
  "collections",
  "explain?kind=Secret&key=istio-system/istio-ca-secret",
];

test("no page, metric or log line has anything of the CA's key", async () => {
  const secret = jsonObject(h.api.get(ROOTS.secrets, "istio-system/istio-ca-secret"));
  const stored = jsonText(jsonObject(secret["data"])["ca-key.pem"]);
  assert.ok(stored.length > 100, "there is a key to be looked for");
  const pem = Buffer.from(stored, "base64").toString();
  // The secret number itself, in whatever encoding a dump would choose.
  const { d = "" } = createPrivateKey(pem).export({ format: "jwk" });
  const scalar = Buffer.from(d, "base64url");
  const needles = ["PRIVATE KEY", stored.slice(20, 80), d, scalar.toString("hex"), scalar.toString("base64")];
  const { debug, metrics } = h.controller.ports();
  const texts = await Promise.all(
    [
      ...PAGES.map((page) => `http://127.0.0.1:${debug}/debug/${page}`),
      `http://127.0.0.1:${metrics}/metrics`,
    ].map(async (url) => (await fetch(url)).text()),
  );
  assert.ok(texts[1]?.includes("frontend"), "the pages were served");
  for (const text of [...texts, h.log.join("\n")])
    for (const needle of needles) assert.ok(!text.includes(needle), text.slice(0, 200));
});

test("the debug pages are on loopback alone, for GET alone, and not for web pages", async () => {
  const { debug } = h.controller.ports();
  const url = (host: string): string => `http://${host}:${debug}/debug/ambientz`;
  assert.equal((await fetch(url("127.0.0.1"))).status, 200);
  assert.equal((await fetch(url("127.0.0.1"), { method: "POST" })).ok, false);
  assert.equal((await fetch(url("127.0.0.1"), { headers: { origin: "http://evil.example" } })).ok, false);
  const outside = Object.values(networkInterfaces())
    .flatMap((each) => each ?? [])
    .filter(({ internal, family }) => !internal && family === "IPv4");
  // 127.0.0.2 is another address of the same loopback: a wildcard listener would answer there.
  for (const address of ["127.0.0.2", ...outside.map((each) => each.address)])
    await assert.rejects(fetch(url(address), { signal: AbortSignal.timeout(2_000) }), address);
});
