/**
 * Pure but for the wall clock it is given. Turns a CA's answer into a WorkloadCertificate, after checking that it is
 * what was asked for: our identity, our key, valid now, with roots.
 */
import { type Parsed, parsed, problem } from "../base/parse-result.ts";
import type { SpiffeId } from "../model/spiffe-id.ts";
import { isValidAt, type WorkloadCertificate } from "./certificate.ts";
import { decodePem, encodePem } from "./pem.ts";
import { parseTrustBundle } from "./trust-bundle.ts";
import { type CertificateFields, parseCertificate } from "./x509.ts";

export interface IssuedChain {
  readonly identity: SpiffeId;
  /** PKCS#8 PEM of the key that the request was made with. Secret. */
  readonly keyPem: string;
  /** SubjectPublicKeyInfo of that key. */
  readonly publicKeyDer: Uint8Array;
  /** The CA's answer: leaf, intermediates (one PEM each), last the root bundle. */
  readonly chain: readonly string[];
}

export function assembleCertificate(issued: IssuedChain, nowMs: number): Parsed<WorkloadCertificate> {
  const { identity, keyPem, chain } = issued;
  if (chain.length < 2) return problem("cert_chain", "has no root certificate");
  const roots = parseTrustBundle(chain.at(-1) ?? "");
  if (!roots.ok)
    return problem("cert_chain", `ends in a bundle that ${roots.problems[0]?.message ?? "is bad"}`);
  const blocks = chain.slice(0, -1).map((pem) => decodePem("CERTIFICATE", pem));
  const certificates = blocks.flatMap((block) => (block.ok ? block.value : []));
  // One certificate per element: a peer that reads only the first would see another chain than we do.
  if (blocks.some((block) => !block.ok || block.value.length !== 1))
    return problem("cert_chain", "has an element that is not exactly one certificate");
  const leaf = parseCertificate(certificates[0] ?? new Uint8Array(0));
  if (!leaf.ok)
    return problem("cert_chain", `starts with a leaf that ${leaf.problems[0]?.message ?? "is bad"}`);
  const mismatch = whyNotOurs(leaf.value, issued, nowMs);
  if (mismatch !== undefined) return problem("cert_chain", mismatch);
  const { serial, notBeforeMs, notAfterMs } = leaf.value;
  const chainPem = certificates.map((der) => encodePem("CERTIFICATE", der)).join("");
  return parsed({ identity, chainPem, keyPem, rootsPem: roots.value, serial, notBeforeMs, notAfterMs });
}

function whyNotOurs(leaf: CertificateFields, issued: IssuedChain, nowMs: number): string | undefined {
  if (leaf.uris.length !== 1 || leaf.uris[0] !== issued.identity)
    return `is for ${leaf.uris.join(", ") || "nobody"} instead of ${issued.identity}`;
  if (leaf.isCa) return "has a leaf that is a CA";
  if (Buffer.compare(leaf.publicKeyDer, issued.publicKeyDer) !== 0) return "is for another key";
  if (!isValidAt(leaf, nowMs)) {
    const span = `${new Date(leaf.notBeforeMs).toISOString()} to ${new Date(leaf.notAfterMs).toISOString()}`;
    return `is valid from ${span}, but it is ${new Date(nowMs).toISOString()} here: check both clocks`;
  }
  return undefined;
}
