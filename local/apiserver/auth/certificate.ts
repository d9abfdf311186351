/** Pure. X.509 v3 certificates (RFC 5280) of the cluster's own P-256 authority: the CA itself, serving and client leaves. */
import {
  createHash,
  createPrivateKey,
  createPublicKey,
  generateKeyPairSync,
  type KeyObject,
  randomBytes,
  sign,
} from "node:crypto";
import { isIP } from "node:net";
import { ipToBytes, ip } from "#core/net/ip.ts";
import { spkiOf } from "#core/identity/build-certificate.ts";
import { DER, der, derBits, derInteger, derOid, derSequence, derTime, derTrue } from "#core/identity/der.ts";
import { encodePem } from "#core/identity/pem.ts";

export interface KeyAndCertificate {
  readonly certificatePem: string;
  /** PKCS#8; never logged. */
  readonly keyPem: string;
}

export interface LeafRequest {
  readonly commonName: string;
  readonly organizations: readonly string[];
  readonly usage: "server" | "client";
  readonly hosts: readonly string[];
  readonly nowMs: number;
}

const ECDSA_SHA256 = derSequence(derOid("1.2.840.10045.4.3.2"));
const DAY_MS = 86_400_000;
const LEAF_DAYS = 365;
const CA_DAYS = 3650;
const CA_NAME = "kubernetes";

export function makeAuthority(nowMs: number): KeyAndCertificate {
  const { privateKey, publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const subject = distinguishedName(CA_NAME, []);
  const certificatePem = issue({
    subject,
    issuer: subject,
    publicKey,
    signer: privateKey,
    validity: [nowMs - DAY_MS, nowMs + CA_DAYS * DAY_MS],
    extensions: [
      extension("2.5.29.19", derSequence(derTrue()), true),
      extension("2.5.29.15", keyUsage(2, 0b1010_0100), true), // digitalSignature, keyEncipherment, keyCertSign
      extension("2.5.29.14", der(DER.octetString, keyId(publicKey))),
    ],
  });
  return { certificatePem, keyPem: pkcs8(privateKey) };
}

export function issueLeaf(authority: KeyAndCertificate, request: LeafRequest): KeyAndCertificate {
  const { privateKey, publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const signer = createPrivateKey(authority.keyPem);
  const purpose = request.usage === "server" ? "1.3.6.1.5.5.7.3.1" : "1.3.6.1.5.5.7.3.2";
  const names = request.hosts.map(generalName);
  const certificatePem = issue({
    subject: distinguishedName(request.commonName, request.organizations),
    issuer: distinguishedName(CA_NAME, []),
    publicKey,
    signer,
    validity: [request.nowMs - DAY_MS, request.nowMs + LEAF_DAYS * DAY_MS],
    extensions: [
      extension("2.5.29.15", keyUsage(7, 0b1000_0000), true),
      extension("2.5.29.37", derSequence(derOid(purpose))),
      extension("2.5.29.19", derSequence(), true),
      extension("2.5.29.35", derSequence(der(DER.contextPrimitive(0), keyId(createPublicKey(signer))))),
      ...(names.length === 0 ? [] : [extension("2.5.29.17", derSequence(...names))]),
    ],
  });
  return { certificatePem, keyPem: pkcs8(privateKey) };
}

interface Issuance {
  readonly subject: Uint8Array;
  readonly issuer: Uint8Array;
  readonly publicKey: KeyObject;
  readonly signer: KeyObject;
  readonly validity: readonly [number, number];
  readonly extensions: readonly Uint8Array[];
}

function issue(request: Issuance): string {
  const serial = randomBytes(16);
  serial[0] = ((serial[0] ?? 0) & 0x7f) | 0x40; // positive and of full length
  const body = derSequence(
    der(DER.context(0), derInteger(Uint8Array.of(2))),
    derInteger(serial),
    ECDSA_SHA256,
    request.issuer,
    derSequence(derTime(request.validity[0]), derTime(request.validity[1])),
    request.subject,
    spkiOf(request.publicKey),
    der(DER.context(3), derSequence(...request.extensions)),
  );
  const signature = sign("sha256", body, { key: request.signer, dsaEncoding: "der" });
  return encodePem("CERTIFICATE", derSequence(body, ECDSA_SHA256, derBits(signature)));
}

function keyUsage(unusedBits: number, bits: number): Uint8Array {
  return der(DER.bitString, Uint8Array.of(unusedBits, bits));
}

function distinguishedName(commonName: string, organizations: readonly string[]): Uint8Array {
  const attribute = (id: string, text: string): Uint8Array =>
    derSequence(derOid(id), der(DER.utf8String, Buffer.from(text)));
  return derSequence(
    ...organizations.map((name) => der(DER.set, attribute("2.5.4.10", name))),
    der(DER.set, attribute("2.5.4.3", commonName)),
  );
}

function extension(id: string, value: Uint8Array, critical = false): Uint8Array {
  return derSequence(derOid(id), ...(critical ? [derTrue()] : []), der(DER.octetString, value));
}

function generalName(host: string): Uint8Array {
  return isIP(host) === 0
    ? der(DER.contextPrimitive(2), Buffer.from(host))
    : der(DER.contextPrimitive(7), Buffer.from(ipToBytes(ip(host))));
}

function keyId(publicKey: KeyObject): Uint8Array {
  return createHash("sha1").update(spkiOf(publicKey)).digest();
}

function pkcs8(key: KeyObject): string {
  return key.export({ type: "pkcs8", format: "pem" }).toString();
}
