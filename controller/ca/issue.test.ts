/** What a leaf says, whatever its request says. */
import assert from "node:assert/strict";
import {
  createPublicKey,
  createSign,
  generateKeyPairSync,
  type KeyObject,
  X509Certificate,
} from "node:crypto";
import { test } from "node:test";
import { DER, der, derBits, derOid, derSequence, derTrue } from "#core/identity/der.ts";
import { encodePem } from "#core/identity/pem.ts";
import { spiffeId } from "#core/model/spiffe-id.ts";
import { type CaMaterial, makeSelfSignedRoot, readCaMaterial } from "./ca-material.ts";
import { issueCertificate, type IssueOutcome } from "./issue.ts";

const NOW_MS = Date.UTC(2026, 0, 1);
const DAY_MS = 86_400_000;
const WEB = spiffeId({ trustDomain: "cluster.local", namespace: "shop", serviceAccount: "web" });
const SERVER_AUTH = "1.3.6.1.5.5.7.3.1";
const CLIENT_AUTH = "1.3.6.1.5.5.7.3.2";
const { privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });

function material(): CaMaterial {
  const read = readCaMaterial(makeSelfSignedRoot("cluster.local", NOW_MS));
  assert.ok(read.ok);
  return read.value;
}
const ca = material();

function issue(
  csrPem: string,
  change: { readonly validitySeconds?: number; readonly nowMs?: number } = {},
): IssueOutcome {
  const request = { identity: WEB, csrPem, validitySeconds: 0, nowMs: NOW_MS, ...change };
  return issueCertificate(request, ca, { defaultTtlMs: DAY_MS, maxTtlMs: DAY_MS });
}

/** A request that wants a name, to be a CA, two identities, and code signing. */
function greedyCsr(key: KeyObject): string {
  const text = (value: string): Buffer => Buffer.from(value, "latin1");
  const extension = (oid: string, value: Uint8Array, ...critical: readonly Uint8Array[]): Uint8Array =>
    derSequence(derOid(oid), ...critical, der(DER.octetString, value));
  const uri = (value: string): Uint8Array => der(DER.contextPrimitive(6), text(value));
  const wanted = derSequence(
    extension("2.5.29.19", derSequence(derTrue()), derTrue()),
    extension(
      "2.5.29.17",
      derSequence(uri("spiffe://cluster.local/ns/a/sa/b"), uri("spiffe://evil/ns/c/sa/d")),
    ),
    extension("2.5.29.37", derSequence(derOid("1.3.6.1.5.5.7.3.3"))),
  );
  const attribute = derSequence(derOid("1.2.840.113549.1.9.14"), der(DER.set, wanted));
  const commonName = derSequence(derOid("2.5.4.3"), der(0x0c, text("root")));
  const subject = derSequence(der(DER.set, commonName));
  const publicKey = createPublicKey(key).export({ type: "spki", format: "der" });
  const body = derSequence(
    Uint8Array.of(DER.integer, 1, 0),
    subject,
    publicKey,
    der(DER.context(0), attribute),
  );
  const signature = createSign("sha256").update(body).sign(key);
  return encodePem(
    "CERTIFICATE REQUEST",
    derSequence(body, derSequence(derOid("1.2.840.10045.4.3.2")), derBits(signature)),
  );
}

test("a request that asks for everything gets our identity alone, for both purposes, and no CA", () => {
  const outcome = issue(greedyCsr(privateKey));
  assert.ok(outcome.kind === "issued", JSON.stringify(outcome));
  const leaf = new X509Certificate(outcome.chain[0] ?? "");
  assert.equal(leaf.subjectAltName, `URI:${WEB}`);
  assert.equal(leaf.subject ?? "", "");
  assert.equal(leaf.ca, false);
  assert.deepEqual(leaf.keyUsage, [SERVER_AUTH, CLIENT_AUTH]);
  assert.ok(leaf.checkPrivateKey(privateKey));
});

test("a life longer than allowed is refused, not cut; the longest is not; none asked for is the default", () => {
  const csr = greedyCsr(privateKey);
  assert.equal(issue(csr, { validitySeconds: 86_401 }).kind, "refused");
  for (const validitySeconds of [0, -1, 86_400]) {
    const outcome = issue(csr, { validitySeconds });
    assert.equal(outcome.kind === "issued" && outcome.notAfterMs, NOW_MS + DAY_MS, `${validitySeconds}`);
  }
});

test("after the CA's own end nothing is issued", () => {
  const outcome = issue(greedyCsr(privateKey), { nowMs: ca.notAfterMs });
  assert.equal(outcome.kind, "refused");
});

test("no two leaves have the same serial", () => {
  const csr = greedyCsr(privateKey);
  const serials = Array.from({ length: 50 }, () => {
    const outcome = issue(csr);
    assert.ok(outcome.kind === "issued");
    return outcome.serial;
  });
  assert.equal(new Set(serials).size, serials.length);
});
