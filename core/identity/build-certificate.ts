/**
 * Certificates for every CA of ours: the structure is written here, the signature made by node:crypto.
 * Signs with P-256 or, for plugged-in Istio roots, RSA keys.
 */
import { createHash, createPublicKey, type KeyObject, randomBytes, sign } from "node:crypto";
import type { SpiffeId } from "../model/spiffe-id.ts";
import { AmbitError } from "../runtime/errors.ts";
import { DER, der, derBits, derInteger, derOid, derSequence, derTime, derTrue } from "./der.ts";
import { decodePem, encodePem } from "./pem.ts";
import { parseCertificate } from "./x509.ts";

/** A CA that can sign: its certificate and its private key (secret). */
export interface SigningCa {
  readonly certificatePem: string;
  readonly key: KeyObject;
}

export type KeyPurpose = "server" | "client";

/** Everything that a certificate of ours can say. Production code uses the narrower builders below. */
export interface CertificateSpec {
  /** SubjectPublicKeyInfo, DER. */
  readonly publicKeyDer: Uint8Array;
  readonly notBeforeMs: number;
  readonly notAfterMs: number;
  /** Organization of the subject; "" for an empty subject. */
  readonly organization: string;
  readonly isCa: boolean;
  readonly uris: readonly string[];
  readonly dnsNames: readonly string[];
  /** No extension when empty. */
  readonly purposes: readonly KeyPurpose[];
}

export interface LeafOptions {
  readonly identity: SpiffeId;
  /** SubjectPublicKeyInfo, DER. */
  readonly publicKeyDer: Uint8Array;
  readonly notBeforeMs: number;
  /** Cut to the end of the CA's own life. */
  readonly notAfterMs: number;
}

/** A workload's leaf: our URI alone, CA:false, both purposes, empty subject, random 128-bit serial. Returns PEM. */
export function buildLeaf(ca: SigningCa, options: LeafOptions): string {
  const { identity, publicKeyDer, notBeforeMs, notAfterMs } = options;
  return buildCertificate(ca, {
    ...leafDefaults(publicKeyDer, notBeforeMs, notAfterMs),
    uris: [identity],
    purposes: ["server", "client"],
  });
}

export interface RootOptions {
  readonly organization: string;
  readonly notBeforeMs: number;
  readonly notAfterMs: number;
}

/** A self-signed root over `key`. Returns PEM. */
export function buildRoot(key: KeyObject, options: RootOptions): string {
  const publicKeyDer = spkiOf(key);
  const spec = { ...options, publicKeyDer, isCa: true, uris: [], dnsNames: [], purposes: [] };
  const subject = nameOf(options.organization);
  return signed(key, bodyOf(spec, { name: subject, keyId: undefined, key }));
}

export interface ServerLeafOptions {
  readonly dnsNames: readonly string[];
  readonly publicKeyDer: Uint8Array;
  readonly notBeforeMs: number;
  readonly notAfterMs: number;
}

/** The controller's own server certificate: DNS names, server purpose. Returns PEM. */
export function buildServerLeaf(ca: SigningCa, options: ServerLeafOptions): string {
  const { dnsNames, publicKeyDer, notBeforeMs, notAfterMs } = options;
  return buildCertificate(ca, {
    ...leafDefaults(publicKeyDer, notBeforeMs, notAfterMs),
    dnsNames,
    purposes: ["server"],
  });
}

/** Any certificate under `ca`, its end cut to the CA's. Returns PEM. */
export function buildCertificate(ca: SigningCa, spec: CertificateSpec): string {
  const issuer = issuerOf(ca);
  const notAfterMs = Math.min(spec.notAfterMs, issuer.notAfterMs);
  return signed(ca.key, bodyOf({ ...spec, notAfterMs }, issuer));
}

/** SubjectPublicKeyInfo of a private or public key, DER. */
export function spkiOf(key: KeyObject): Uint8Array {
  const publicKey = key.type === "public" ? key : createPublicKey(key);
  return publicKey.export({ type: "spki", format: "der" });
}

function leafDefaults(publicKeyDer: Uint8Array, notBeforeMs: number, notAfterMs: number): CertificateSpec {
  return {
    publicKeyDer,
    notBeforeMs,
    notAfterMs,
    organization: "",
    isCa: false,
    uris: [],
    dnsNames: [],
    purposes: [],
  };
}

interface Issuer {
  /** Name, DER. */
  readonly name: Uint8Array;
  readonly keyId: Uint8Array | undefined;
  readonly key: KeyObject;
}

const issuers = new WeakMap<SigningCa, Issuer & { readonly notAfterMs: number }>();

/** Reading the CA's certificate once is enough: a CA is an immutable value. */
function issuerOf(ca: SigningCa): Issuer & { readonly notAfterMs: number } {
  const known = issuers.get(ca);
  if (known !== undefined) return known;
  const blocks = decodePem("CERTIFICATE", ca.certificatePem);
  const fields = blocks.ok && blocks.value[0] !== undefined ? parseCertificate(blocks.value[0]) : blocks;
  if (!fields.ok) {
    throw new AmbitError(
      "CA_BAD_CERTIFICATE",
      `the CA's certificate ${fields.problems[0]?.message ?? "is bad"}`,
    );
  }
  if (!("subject" in fields.value)) throw new AmbitError("CA_BAD_CERTIFICATE", "the CA has no certificate");
  const { subject, subjectKeyId, notAfterMs } = fields.value;
  const issuer = {
    name: Buffer.from(subject, "hex"),
    keyId: subjectKeyId === undefined ? undefined : Buffer.from(subjectKeyId, "hex"),
    key: ca.key,
    notAfterMs,
  };
  issuers.set(ca, issuer);
  return issuer;
}

const VERSION_3 = der(DER.context(0), Uint8Array.of(DER.integer, 1, 2));

function bodyOf(spec: CertificateSpec, issuer: Issuer): Uint8Array {
  const subject = spec.organization === "" ? derSequence() : nameOf(spec.organization);
  return derSequence(
    VERSION_3,
    derInteger(randomSerial()),
    signatureAlgorithm(issuer.key),
    issuer.name,
    derSequence(derTime(spec.notBeforeMs), derTime(spec.notAfterMs)),
    subject,
    spec.publicKeyDer,
    der(DER.context(3), derSequence(...extensionsOf(spec, issuer))),
  );
}

function randomSerial(): Uint8Array {
  const serial = randomBytes(16);
  // Positive and always 16 bytes long, so that its text has one length.
  serial[0] = ((serial[0] ?? 0) & 0x7f) | 0x40;
  return serial;
}

function extensionsOf(spec: CertificateSpec, issuer: Issuer): readonly Uint8Array[] {
  const list = [
    extension("2.5.29.15", true, keyUsage(spec)),
    extension("2.5.29.19", true, spec.isCa ? derSequence(derTrue()) : derSequence()),
  ];
  if (spec.purposes.length > 0) {
    const oids = spec.purposes.map((p) => derOid(p === "server" ? "1.3.6.1.5.5.7.3.1" : "1.3.6.1.5.5.7.3.2"));
    list.push(extension("2.5.29.37", false, derSequence(...oids)));
  }
  if (spec.isCa) list.push(extension("2.5.29.14", false, der(DER.octetString, keyIdOf(spec.publicKeyDer))));
  if (issuer.keyId !== undefined) {
    list.push(extension("2.5.29.35", false, derSequence(der(DER.contextPrimitive(0), issuer.keyId))));
  }
  const names = [
    ...spec.uris.map((uri) => der(DER.contextPrimitive(6), Buffer.from(uri, "latin1"))),
    ...spec.dnsNames.map((name) => der(DER.contextPrimitive(2), Buffer.from(name, "latin1"))),
  ];
  // Critical where the subject is empty (RFC 5280 4.2.1.6).
  if (names.length > 0) list.push(extension("2.5.29.17", spec.organization === "", derSequence(...names)));
  return list;
}

function extension(oid: string, critical: boolean, value: Uint8Array): Uint8Array {
  const content = der(DER.octetString, value);
  return critical ? derSequence(derOid(oid), derTrue(), content) : derSequence(derOid(oid), content);
}

/** CA: certificate and CRL signing. Whoever has a TLS purpose: digital signature. Leaf: key encipherment as well. */
function keyUsage(spec: CertificateSpec): Uint8Array {
  if (!spec.isCa) return Uint8Array.of(DER.bitString, 2, 5, 0xa0);
  return Uint8Array.of(DER.bitString, 2, 1, spec.purposes.length > 0 ? 0x86 : 0x06);
}

function keyIdOf(publicKeyDer: Uint8Array): Uint8Array {
  return createHash("sha1").update(publicKeyDer).digest();
}

function nameOf(organization: string): Uint8Array {
  const attribute = derSequence(derOid("2.5.4.10"), der(DER.utf8String, Buffer.from(organization, "utf8")));
  return derSequence(der(DER.set, attribute));
}

const ECDSA_SHA256 = derSequence(derOid("1.2.840.10045.4.3.2"));
const RSA_SHA256 = derSequence(derOid("1.2.840.113549.1.1.11"), Uint8Array.of(5, 0));

function signatureAlgorithm(key: KeyObject): Uint8Array {
  if (key.asymmetricKeyType === "ec") return ECDSA_SHA256;
  if (key.asymmetricKeyType === "rsa") return RSA_SHA256;
  throw new AmbitError("CA_BAD_KEY", `the CA's key is ${key.asymmetricKeyType ?? "no key"}; use EC or RSA`);
}

function signed(key: KeyObject, body: Uint8Array): string {
  const signature = sign("sha256", body, key);
  return encodePem("CERTIFICATE", derSequence(body, signatureAlgorithm(key), derBits(signature)));
}
