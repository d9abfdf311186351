/** A CA Secret is used whole or not at all, and what is wrong with it is said without a word of the key. */
import assert from "node:assert/strict";
import { generateKeyPairSync, X509Certificate } from "node:crypto";
import { test } from "node:test";
import { buildCertificate, spkiOf } from "#core/identity/build-certificate.ts";
import { spiffeId } from "#core/model/spiffe-id.ts";
import { buildCsr } from "#core/identity/csr.ts";
import { type CaFiles, makeSelfSignedRoot, readCaMaterial } from "./ca-material.ts";
import { issueCertificate } from "./issue.ts";

const NOW_MS = Date.now();
const DAY_MS = 86_400_000;
const root = makeSelfSignedRoot("cluster.local", NOW_MS);
const other = makeSelfSignedRoot("cluster.local", NOW_MS);

function under(files: CaFiles, isCa: boolean): { readonly pem: string; readonly keyPem: string } {
  const signer = readCaMaterial(files);
  assert.ok(signer.ok);
  const { privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const pem = buildCertificate(signer.value.signing, {
    publicKeyDer: spkiOf(privateKey),
    notBeforeMs: NOW_MS - DAY_MS,
    notAfterMs: NOW_MS + 30 * DAY_MS,
    organization: "intermediate",
    isCa,
    uris: [],
    dnsNames: [],
    purposes: [],
  });
  return { pem, keyPem: privateKey.export({ type: "pkcs8", format: "pem" }) as string };
}

const intermediate = under(root, true);
const workload = under(root, false);
const plugged: CaFiles = {
  "ca-cert.pem": intermediate.pem,
  "ca-key.pem": intermediate.keyPem,
  "cert-chain.pem": intermediate.pem + (root["root-cert.pem"] ?? ""),
  "root-cert.pem": root["root-cert.pem"] ?? "",
};

const REFUSED: readonly (readonly [string, CaFiles, string])[] = [
  ["without roots", { ...plugged, "root-cert.pem": "" }, "root-cert.pem"],
  ["with a key of somebody else", { ...plugged, "ca-key.pem": other["ca-key.pem"] ?? "" }, "ca-cert.pem"],
  [
    "with roots that it does not chain to",
    { ...plugged, "root-cert.pem": other["root-cert.pem"] ?? "", "cert-chain.pem": "" },
    "ca-cert.pem",
  ],
  [
    "whose certificate may not sign",
    { ...plugged, "ca-cert.pem": workload.pem, "ca-key.pem": workload.keyPem },
    "ca-cert.pem",
  ],
  ["with half a key", { ...plugged, "ca-key.pem": intermediate.keyPem.slice(0, 90) }, "ca-key.pem"],
  ["with nothing", {}, "root-cert.pem"],
];
for (const [name, files, path] of REFUSED) {
  test(`a CA ${name} is refused, and its key is not repeated`, () => {
    const material = readCaMaterial(files);
    assert.ok(!material.ok);
    assert.equal(material.problems[0]?.path, path);
    assert.doesNotMatch(JSON.stringify(material.problems), /PRIVATE|MIG|BEGIN/);
  });
}

test("a plugged-in intermediate signs; it goes along in the chain, the root with the roots", () => {
  const material = readCaMaterial(plugged);
  assert.ok(material.ok);
  const { privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const identity = spiffeId({ trustDomain: "cluster.local", namespace: "shop", serviceAccount: "web" });
  const issued = issueCertificate(
    { identity, csrPem: buildCsr(identity, privateKey), validitySeconds: 86_400, nowMs: NOW_MS },
    material.value,
    { defaultTtlMs: DAY_MS, maxTtlMs: DAY_MS },
  );
  assert.ok(issued.kind === "issued");
  const [leaf = "", above = "", roots = ""] = issued.chain;
  assert.ok(new X509Certificate(leaf).verify(new X509Certificate(above).publicKey));
  assert.ok(new X509Certificate(above).verify(new X509Certificate(roots).publicKey));
});

test("a certificate never outlives its CA", () => {
  const material = readCaMaterial(plugged);
  assert.ok(material.ok);
  assert.equal(material.value.notAfterMs, Date.parse(new X509Certificate(intermediate.pem).validTo));
});
