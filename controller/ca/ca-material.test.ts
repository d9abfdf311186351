/** A CA Secret is used whole or not at all, and what is wrong with it is said without a word of the key. */
import assert from "node:assert/strict";
import { createPrivateKey, generateKeyPairSync, X509Certificate } from "node:crypto";
import { test } from "node:test";
import { buildCertificate, type SigningCa, spkiOf } from "#core/identity/build-certificate.ts";
import { spiffeId } from "#core/model/spiffe-id.ts";
import { buildCsr } from "#core/identity/csr.ts";
import { type CaFiles, makeSelfSignedRoot, readCaMaterial } from "./ca-material.ts";
import { issueCertificate } from "./issue.ts";

const NOW_MS = Date.now();
const DAY_MS = 86_400_000;
const root = makeSelfSignedRoot("cluster.local", NOW_MS);
const other = makeSelfSignedRoot("cluster.local", NOW_MS);

interface Issued {
  readonly pem: string;
  readonly keyPem: string;
}

function under(files: CaFiles, isCa: boolean): Issued {
  const signer = readCaMaterial(files);
  assert.ok(signer.ok);
  return issuedBy(signer.value.signing, isCa);
}

function issuedBy(signer: SigningCa, isCa: boolean, organization = "intermediate"): Issued {
  const { privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const pem = buildCertificate(signer, {
    publicKeyDer: spkiOf(privateKey),
    notBeforeMs: NOW_MS - DAY_MS,
    notAfterMs: NOW_MS + 30 * DAY_MS,
    organization,
    isCa,
    uris: [],
    dnsNames: [],
    purposes: [],
  });
  return { pem, keyPem: privateKey.export({ type: "pkcs8", format: "pem" }) as string };
}

const intermediate = under(root, true);
const workload = under(root, false);
const second = issuedBy(
  { certificatePem: intermediate.pem, key: createPrivateKey(intermediate.keyPem) },
  true,
  "second intermediate",
);
const underWorkload = issuedBy(
  { certificatePem: workload.pem, key: createPrivateKey(workload.keyPem) },
  true,
  "under a workload",
);
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
    "whose chain ends in another root than the one that peers trust",
    { ...plugged, "root-cert.pem": other["root-cert.pem"] ?? "" },
    "ca-cert.pem",
  ],
  [
    "that is its own issuer and no root of ours",
    { ...root, "cert-chain.pem": root["ca-cert.pem"] ?? "", "root-cert.pem": other["root-cert.pem"] ?? "" },
    "ca-cert.pem",
  ],
  [
    "that a certificate without that right has issued",
    {
      ...plugged,
      "ca-cert.pem": underWorkload.pem,
      "ca-key.pem": underWorkload.keyPem,
      "cert-chain.pem": underWorkload.pem + workload.pem,
    },
    "cert-chain.pem",
  ],
  [
    "whose chain has a gap",
    { ...plugged, "ca-cert.pem": second.pem, "ca-key.pem": second.keyPem, "cert-chain.pem": second.pem },
    "ca-cert.pem",
  ],
  [
    "whose certificate may not sign",
    { ...plugged, "ca-cert.pem": workload.pem, "ca-key.pem": workload.keyPem },
    "ca-cert.pem",
  ],
  ["with a chain that cannot be read", { ...plugged, "cert-chain.pem": "no certificates" }, "cert-chain.pem"],
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

test("a chain of three intermediates is used, in any order", () => {
  const third = issuedBy({ certificatePem: second.pem, key: createPrivateKey(second.keyPem) }, true, "third");
  for (const chain of [third.pem + second.pem + intermediate.pem, intermediate.pem + second.pem]) {
    const files = {
      ...plugged,
      "ca-cert.pem": third.pem,
      "ca-key.pem": third.keyPem,
      "cert-chain.pem": chain,
    };
    assert.equal(readCaMaterial(files).ok, true);
  }
});

test("a chain of two intermediates is used, with the root in the chain or not", () => {
  for (const last of ["", root["root-cert.pem"] ?? ""]) {
    const material = readCaMaterial({
      ...plugged,
      "ca-cert.pem": second.pem,
      "ca-key.pem": second.keyPem,
      "cert-chain.pem": second.pem + intermediate.pem + last,
    });
    assert.ok(material.ok);
    assert.deepEqual(
      material.value.intermediatesPem.map((pem) => new X509Certificate(pem).subject),
      [second.pem, intermediate.pem].map((pem) => new X509Certificate(pem).subject),
    );
  }
});

test("a certificate never outlives its CA", () => {
  const material = readCaMaterial(plugged);
  assert.ok(material.ok);
  assert.equal(material.value.notAfterMs, Date.parse(new X509Certificate(intermediate.pem).validTo));
});
