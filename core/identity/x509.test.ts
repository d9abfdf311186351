/** Reading and making certificates and requests: what is refused, then what is read. */
import assert from "node:assert/strict";
import { createSign, generateKeyPairSync, X509Certificate } from "node:crypto";
import { test } from "node:test";
import fc from "fast-check";
import type { Parsed } from "../base/parse-result.ts";
import { spiffeId } from "../model/spiffe-id.ts";
import { assembleCertificate } from "./assemble-certificate.ts";
import { buildLeaf, buildRoot, buildServerLeaf, spkiOf } from "./build-certificate.ts";
import { buildCsr, parseCsr } from "./csr.ts";
import { DER, der, derBits, derInteger, derOid, derSequence, derTime } from "./der.ts";
import { createFileCa, exportKey, newKeyPair } from "./file-ca.ts";
import { decodePem, encodePem } from "./pem.ts";
import { parseTrustBundle } from "./trust-bundle.ts";
import { OID_HEX, parseCertificate } from "./x509.ts";

const WEB = spiffeId({ trustDomain: "cluster.local", namespace: "shop", serviceAccount: "web" });
const DB = spiffeId({ trustDomain: "cluster.local", namespace: "shop", serviceAccount: "db" });
const ca = createFileCa({ trustDomain: "cluster.local" });
const DAY_MS = 86_400_000;

function derOf(pem: string): Uint8Array {
  return valueOf(decodePem("CERTIFICATE", pem))[0] ?? new Uint8Array(0);
}

function valueOf<T>(result: Parsed<T>): T {
  assert.ok(result.ok, JSON.stringify(result));
  return result.value;
}

function messageOf(result: Parsed<unknown>): string {
  assert.ok(!result.ok, "was accepted");
  return result.problems.map((p) => p.message).join();
}

test("a leaf says what it should, and OpenSSL agrees", () => {
  const { privateKey } = newKeyPair();
  const now = Date.UTC(2026, 0, 2, 3, 4, 5);
  const validity = { notBeforeMs: now, notAfterMs: now + DAY_MS };
  const pem = buildLeaf(ca.signer, { identity: WEB, publicKeyDer: spkiOf(privateKey), ...validity });
  const fields = valueOf(parseCertificate(derOf(pem)));
  const seen = new X509Certificate(pem);
  const root = new X509Certificate(ca.rootPem);
  assert.deepEqual(fields.uris, [WEB]);
  assert.deepEqual([fields.isCa, fields.dnsNames], [false, []]);
  assert.deepEqual([fields.notBeforeMs, fields.notAfterMs], [now, now + DAY_MS]);
  assert.deepEqual(fields.extendedKeyUsages, [OID_HEX.serverAuth, OID_HEX.clientAuth]);
  assert.equal(fields.serial.length, 32);
  assert.equal(fields.serial, seen.serialNumber.toLowerCase());
  assert.equal(fields.subject, "3000");
  assert.equal(fields.issuer, valueOf(parseCertificate(derOf(ca.rootPem))).subject);
  assert.ok(seen.verify(root.publicKey) && seen.checkIssued(root) && seen.checkPrivateKey(privateKey));
  assert.equal(seen.subjectAltName, `URI:${WEB}`);
});

test("a leaf never outlives its CA", () => {
  const key = newKeyPair().privateKey;
  const end = Date.UTC(2030, 0, 1);
  const certificatePem = buildRoot(key, { organization: "x", notBeforeMs: 0, notAfterMs: end });
  const publicKeyDer = spkiOf(newKeyPair().privateKey);
  const signer = { certificatePem, key };
  const pem = buildLeaf(signer, { identity: WEB, publicKeyDer, notBeforeMs: 0, notAfterMs: end + DAY_MS });
  assert.equal(valueOf(parseCertificate(derOf(pem))).notAfterMs, end);
});

test("times beyond 2049 are written and read", () => {
  const notAfterMs = Date.UTC(2061, 5, 6, 7, 8, 9);
  const pem = buildRoot(newKeyPair().privateKey, { organization: "x", notBeforeMs: 0, notAfterMs });
  assert.equal(valueOf(parseCertificate(derOf(pem))).notAfterMs, notAfterMs);
  assert.equal(new X509Certificate(pem).validToDate.getTime(), notAfterMs);
});

test("an RSA root signs, as Istio's own does", () => {
  const { privateKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
  const options = { organization: "cluster.local", notBeforeMs: 0, notAfterMs: Date.now() + DAY_MS };
  const rootPem = buildRoot(privateKey, options);
  const rsa = createFileCa({ trustDomain: "cluster.local", rootPem, rootKeyPem: exportKey(privateKey) });
  const leaf = new X509Certificate(rsa.issueNow(WEB).chainPem);
  assert.ok(leaf.verify(new X509Certificate(rootPem).publicKey));
});

test("a server leaf carries DNS names and the server purpose alone", () => {
  const publicKeyDer = spkiOf(newKeyPair().privateKey);
  const dnsNames = ["istiod.istio-system.svc", "localhost"];
  const validity = { notBeforeMs: 0, notAfterMs: Date.now() + DAY_MS };
  const fields = valueOf(
    parseCertificate(derOf(buildServerLeaf(ca.signer, { dnsNames, publicKeyDer, ...validity }))),
  );
  assert.deepEqual([fields.dnsNames, fields.uris], [dnsNames, []]);
  assert.deepEqual(fields.extendedKeyUsages, [OID_HEX.serverAuth]);
});

test("a root is given whole or not at all", () => {
  assert.throws(() => createFileCa({ trustDomain: "x", rootPem: ca.rootPem }), /certificate and its key/);
  assert.throws(
    () => createFileCa({ trustDomain: "x", rootKeyPem: ca.rootKeyPem }),
    /certificate and its key/,
  );
  const again = createFileCa({ trustDomain: "x", rootPem: ca.rootPem, rootKeyPem: ca.rootKeyPem });
  assert.deepEqual(again.issueNow(WEB).rootsPem, [ca.rootPem]);
});

test("damaged certificates are refused and never throw", () => {
  const good = derOf(ca.issueNow(WEB).chainPem);
  assert.match(messageOf(parseCertificate(new Uint8Array(0))), /is no valid certificate/);
  assert.match(messageOf(parseCertificate(new Uint8Array(65_537))), /64 KiB/);
  assert.match(messageOf(parseCertificate(Buffer.concat([good, Buffer.of(0)]))), /after its end/);
  for (let length = 0; length < good.length; length++)
    assert.ok(!parseCertificate(good.subarray(0, length)).ok);
  fc.assert(
    fc.property(fc.nat(good.length - 1), fc.nat(255), (at, value) => {
      const bytes = Uint8Array.from(good);
      bytes[at] = value;
      assert.equal(typeof parseCertificate(bytes).ok, "boolean");
    }),
    { numRuns: 3000 },
  );
  fc.assert(fc.property(fc.uint8Array(), (bytes) => !parseCertificate(bytes).ok || bytes.length > 100));
});

/** A certificate-shaped body with the parts under test exchanged; its signature means nothing. */
function shaped(parts: {
  serial?: Uint8Array;
  times?: readonly Uint8Array[];
  extensions?: Uint8Array;
}): Uint8Array {
  const algorithm = derSequence(derOid("1.2.840.10045.4.3.2"));
  const times = parts.times ?? [derTime(0), derTime(1000)];
  const extensions =
    parts.extensions === undefined ? [] : [der(DER.context(3), derSequence(parts.extensions))];
  const body = derSequence(
    der(DER.context(0), Uint8Array.of(2, 1, 2)),
    parts.serial ?? derInteger(Uint8Array.of(7)),
    algorithm,
    derSequence(),
    derSequence(...times),
    derSequence(),
    derSequence(),
    ...extensions,
  );
  return derSequence(body, algorithm, derBits(Uint8Array.of(0)));
}

function sanExtension(...names: readonly Uint8Array[]): Uint8Array {
  return derSequence(derOid("2.5.29.17"), der(DER.octetString, derSequence(...names)));
}

const uri = (text: string): Uint8Array => der(DER.contextPrimitive(6), Buffer.from(text, "latin1"));
const utc = (text: string): Uint8Array => der(DER.utcTime, Buffer.from(text));

test("certificates that two readers could read in two ways are refused", () => {
  assert.equal(valueOf(parseCertificate(shaped({}))).serial, "07");
  const twice = Buffer.concat([sanExtension(uri("spiffe://a")), sanExtension(uri("spiffe://b"))]);
  const cases: readonly (readonly [string, Uint8Array, RegExp])[] = [
    ["an extension twice", shaped({ extensions: twice }), /twice/],
    ["a NUL in a name", shaped({ extensions: sanExtension(uri("spiffe://a\0b")) }), /odd characters/],
    ["a name that is not ASCII", shaped({ extensions: sanExtension(uri("spiffe://ü")) }), /odd characters/],
    ["a negative serial", shaped({ serial: Uint8Array.of(2, 1, 0x80) }), /serial/],
    ["a padded serial", shaped({ serial: Uint8Array.of(2, 2, 0, 1) }), /minimal/],
    ["a serial of 21 bytes", shaped({ serial: der(2, new Uint8Array(21).fill(1)) }), /serial/],
    ["a padded length", Uint8Array.of(0x30, 0x81, 0x02, 0x05, 0x00), /minimal/],
    ["an indefinite length", Uint8Array.of(0x30, 0x80, 0x00, 0x00), /indefinite/],
    ["a time with an offset", shaped({ times: [utc("260101000000+0100"), derTime(0)] }), /bad time/],
    ["February 31st", shaped({ times: [utc("260231000000Z"), derTime(0)] }), /time/],
    ["a third time", shaped({ times: [derTime(0), derTime(0), derTime(0)] }), /after its end/],
  ];
  for (const [name, bytes, expected] of cases)
    assert.match(messageOf(parseCertificate(bytes)), expected, name);
});

test("a request survives, its names do not matter", () => {
  const { privateKey } = newKeyPair();
  const csr = buildCsr(WEB, privateKey);
  assert.deepEqual(Buffer.from(valueOf(parseCsr(csr)).publicKeyDer), Buffer.from(spkiOf(privateKey)));
});

/** A request around any key, signed by any key. */
function requestOf(spki: Uint8Array, sign: (body: Uint8Array) => Uint8Array): string {
  const body = derSequence(Uint8Array.of(2, 1, 0), derSequence(), spki, der(DER.context(0)));
  const algorithm = derSequence(derOid("1.2.840.10045.4.3.2"));
  return encodePem("CERTIFICATE REQUEST", derSequence(body, algorithm, derBits(sign(body))));
}

test("bad requests are refused", () => {
  const p256 = newKeyPair().privateKey;
  const p384 = generateKeyPairSync("ec", { namedCurve: "P-384" }).privateKey;
  const other = newKeyPair().privateKey;
  const good = buildCsr(WEB, p256);
  const signedBy = (key: typeof p256) => (body: Uint8Array) => createSign("sha256").update(body).sign(key);
  const offCurve = Uint8Array.from(spkiOf(p256)).fill(1, 27);
  const cases: readonly (readonly [string, string, RegExp])[] = [
    ["no PEM", "hello", /no CERTIFICATE REQUEST/],
    ["a certificate", ca.rootPem, /no CERTIFICATE REQUEST/],
    ["two requests", good + good, /more than one/],
    ["17 KiB", " ".repeat(16_384) + good, /larger than/],
    ["P-384", requestOf(spkiOf(p384), signedBy(p384)), /not P-256/],
    ["a point off the curve", requestOf(offCurve, signedBy(p256)), /not P-256/],
    ["another key's signature", requestOf(spkiOf(p256), signedBy(other)), /not signed by its own key/],
    ["no signature", requestOf(spkiOf(p256), () => new Uint8Array(0)), /not signed by its own key/],
    [
      "bytes behind",
      encodePem(
        "CERTIFICATE REQUEST",
        Buffer.concat([valueOf(decodePem("CERTIFICATE REQUEST", good))[0] ?? Buffer.of(), Buffer.of(0)]),
      ),
      /after its end/,
    ],
  ];
  for (const [name, pem, expected] of cases) assert.match(messageOf(parseCsr(pem)), expected, name);
  fc.assert(fc.property(fc.string(), (text) => !parseCsr(text).ok));
  const bytes = valueOf(decodePem("CERTIFICATE REQUEST", good))[0] ?? new Uint8Array(0);
  fc.assert(
    fc.property(fc.nat(bytes.length - 1), fc.integer({ min: 1, max: 255 }), (at, change) => {
      const damaged = Uint8Array.from(bytes);
      damaged[at] = (damaged[at] ?? 0) ^ change;
      assert.ok(!parseCsr(encodePem("CERTIFICATE REQUEST", damaged)).ok);
    }),
    { numRuns: 500 },
  );
});

test("PEM is read strictly", () => {
  const cases = [
    "",
    "-----BEGIN CERTIFICATE-----",
    `${ca.rootPem}-----BEGIN CERTIFICATE-----`,
    ca.rootPem.replace("END CERTIFICATE", "END KEY"),
    ca.rootPem.replaceAll("CERTIFICATE", "PRIVATE KEY"),
    ca.rootPem.replace("MI", "!!"),
    "-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n",
  ];
  for (const text of cases) assert.ok(!decodePem("CERTIFICATE", text).ok, text);
  assert.equal(valueOf(decodePem("CERTIFICATE", `# root\n${ca.rootPem}\n${ca.rootPem}`)).length, 2);
});

test("a trust bundle is made of CAs and nothing else", () => {
  assert.deepEqual(valueOf(parseTrustBundle(ca.rootPem + ca.rootPem)), [ca.rootPem]);
  assert.match(messageOf(parseTrustBundle(ca.issueNow(WEB).chainPem)), /no CA/);
  assert.match(messageOf(parseTrustBundle("")), /no CERTIFICATE/);
  assert.match(messageOf(parseTrustBundle(ca.rootPem + ca.rootKeyPem)), /no CERTIFICATE/);
});

test("a CA's answer is taken only if it is what was asked for", () => {
  const now = Date.now();
  const { privateKey } = newKeyPair();
  const publicKeyDer = spkiOf(privateKey);
  const leaf = (from: number, to: number, identity = WEB): string =>
    buildLeaf(ca.signer, { identity, publicKeyDer, notBeforeMs: now + from, notAfterMs: now + to });
  const good = leaf(-1000, DAY_MS);
  const asked = { identity: WEB, keyPem: exportKey(privateKey), publicKeyDer };
  const cases: readonly (readonly [string, readonly string[], RegExp])[] = [
    ["nothing", [], /no root/],
    ["a leaf alone", [good], /no root/],
    ["no PEM for a root", [good, "x"], /ends in a bundle/],
    ["a leaf for a root", [good, good], /no CA/],
    ["two certificates in one element", [good + ca.rootPem, ca.rootPem], /not exactly one/],
    ["another identity", [leaf(0, DAY_MS, DB), ca.rootPem], /is for .*db instead of .*web/],
    ["another key", [ca.issueNow(WEB).chainPem, ca.rootPem], /another key/],
    ["an expired leaf", [leaf(-DAY_MS, -1000), ca.rootPem], /check both clocks/],
    ["a leaf of the future", [leaf(180_000, DAY_MS), ca.rootPem], /check both clocks/],
    ["a CA as leaf", [ca.rootPem, ca.rootPem], /is for nobody/],
  ];
  for (const [name, chain, expected] of cases)
    assert.match(messageOf(assembleCertificate({ ...asked, chain }, now)), expected, name);
  const taken = valueOf(assembleCertificate({ ...asked, chain: [good, ca.rootPem] }, now));
  assert.deepEqual([taken.identity, taken.chainPem, taken.rootsPem], [WEB, good, [ca.rootPem]]);
  const skewed = assembleCertificate({ ...asked, chain: [leaf(60_000, DAY_MS), ca.rootPem] }, now);
  assert.ok(skewed.ok, "a minute of skew is tolerated");
});
