/** Certificate signing requests (PKCS#10, RFC 2986): P-256, SHA-256, empty subject, one URI SAN. */
import { createPublicKey, createSign, createVerify, type KeyObject } from "node:crypto";
import { type Parsed, parsed, problem } from "../base/parse-result.ts";
import type { SpiffeId } from "../model/spiffe-id.ts";
import { DER, der, derBits, DerError, derOid, DerReader, derSequence } from "./der.ts";
import { decodePem, encodePem } from "./pem.ts";

const MAX_CSR_BYTES = 16_384;

const ECDSA_SHA256 = derSequence(derOid("1.2.840.10045.4.3.2"));
const VERSION_1 = Uint8Array.of(DER.integer, 1, 0);
/** SubjectPublicKeyInfo of P-256 up to the uncompressed point (RFC 5480). */
const P256_HEADER = "3059301306072a8648ce3d020106082a8648ce3d03010703420004";
const P256_BYTES = 91;

/** PEM of a request for `identity`, signed by `key` (P-256 private). */
export function buildCsr(identity: SpiffeId, key: KeyObject): string {
  const san = derSequence(der(DER.contextPrimitive(6), Buffer.from(identity, "latin1")));
  const extension = derSequence(derOid("2.5.29.17"), der(DER.octetString, san));
  const attribute = derSequence(derOid("1.2.840.113549.1.9.14"), der(DER.set, derSequence(extension)));
  const publicKey = createPublicKey(key).export({ type: "spki", format: "der" });
  const body = derSequence(VERSION_1, derSequence(), publicKey, der(DER.context(0), attribute));
  const signature = createSign("sha256").update(body).sign(key);
  return encodePem("CERTIFICATE REQUEST", derSequence(body, ECDSA_SHA256, derBits(signature)));
}

export interface VerifiedCsr {
  /** SubjectPublicKeyInfo of a P-256 key, DER. Everything else that the request says is ignored. */
  readonly publicKeyDer: Uint8Array;
}

/** Strict DER, P-256, self-signature checked, at most 16 KiB. */
export function parseCsr(pem: string): Parsed<VerifiedCsr> {
  if (pem.length > MAX_CSR_BYTES) return problem("csr", `is larger than ${MAX_CSR_BYTES} bytes`);
  const blocks = decodePem("CERTIFICATE REQUEST", pem);
  if (!blocks.ok) return problem("csr", blocks.problems[0]?.message ?? "is no PEM");
  const [block, ...others] = blocks.value;
  if (block === undefined || others.length > 0) return problem("csr", "has more than one request");
  try {
    return verifiedCsr(block);
  } catch (error) {
    if (error instanceof DerError) return problem("csr", `is no valid request: ${error.message}`);
    throw error;
  }
}

function verifiedCsr(bytes: Uint8Array): Parsed<VerifiedCsr> {
  const outer = new DerReader(bytes);
  const request = outer.inside(DER.sequence);
  outer.end();
  const body = request.element(DER.sequence);
  const algorithm = request.element(DER.sequence).whole;
  const signature = request.bits();
  request.end();
  if (Buffer.compare(algorithm, ECDSA_SHA256) !== 0)
    return problem("csr", "is not signed by ECDSA with SHA-256");
  const publicKeyDer = readPublicKey(new DerReader(body.content));
  const key = p256Key(publicKeyDer);
  if (key === undefined) return problem("csr", "has a key that is not P-256");
  if (!isSignedBy(key, body.whole, signature)) return problem("csr", "is not signed by its own key");
  return parsed({ publicKeyDer: Uint8Array.from(publicKeyDer) });
}

function readPublicKey(body: DerReader): Uint8Array {
  const version = body.integer();
  if (version.length !== 1 || version[0] !== 0) throw new DerError("is not version 1");
  body.element(DER.sequence); // subject
  const key = body.element(DER.sequence).whole;
  body.optional(DER.context(0)); // attributes
  body.end();
  return key;
}

/** Undefined for another curve, a compressed point, or a point that is not on the curve. */
function p256Key(spki: Uint8Array): KeyObject | undefined {
  if (spki.length !== P256_BYTES || !Buffer.from(spki).toString("hex").startsWith(P256_HEADER))
    return undefined;
  try {
    return createPublicKey({ key: Buffer.from(spki), format: "der", type: "spki" });
  } catch {
    return undefined; // OpenSSL's way to say "not on the curve"
  }
}

function isSignedBy(key: KeyObject, body: Uint8Array, signature: Uint8Array): boolean {
  try {
    return createVerify("sha256").update(body).verify(key, signature);
  } catch {
    return false; // a signature that is not even DER
  }
}
