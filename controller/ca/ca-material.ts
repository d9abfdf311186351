/**
 * The CA's key and certificates as read from a Secret, checked whole: key and certificate belong together, the
 * certificate may sign, and it chains to the roots. The key is secret: never logged, dumped or reported.
 */
import { createPrivateKey, generateKeyPairSync, type KeyObject, X509Certificate } from "node:crypto";
import { type Parsed, parsed, problem } from "#core/base/parse-result.ts";
import { buildRoot, type SigningCa } from "#core/identity/build-certificate.ts";
import { parseTrustBundle } from "#core/identity/trust-bundle.ts";

export interface CaMaterial {
  readonly signing: SigningCa;
  /** Between leaf and root, one PEM each; empty when the root signs. */
  readonly intermediatesPem: readonly string[];
  /** Trust anchors, concatenated. */
  readonly rootsPem: string;
  /** End of the signing certificate's life. */
  readonly notAfterMs: number;
}

/** Entries of a Secret, decoded. */
export type CaFiles = Readonly<Record<string, string>>;

const ROOT_LIFE_MS = 3_650 * 86_400_000;
const BACKDATE_MS = 120_000;

/** Istio's file names: ca-cert.pem, ca-key.pem, cert-chain.pem (optional), root-cert.pem. */
export function readCaMaterial(files: CaFiles): Parsed<CaMaterial> {
  const roots = parseTrustBundle(files["root-cert.pem"] ?? "");
  if (!roots.ok) return problem("root-cert.pem", "holds no certificate");
  try {
    const certificatePem = files["ca-cert.pem"] ?? "";
    const certificate = new X509Certificate(certificatePem);
    const key = createPrivateKey(files["ca-key.pem"] ?? "");
    const chain = splitPem(files["cert-chain.pem"] ?? "");
    if (chain === undefined) return problem("cert-chain.pem", "cannot be read");
    const wrong = mismatch(certificate, key, { chain, roots: roots.value });
    if (wrong !== undefined) return problem("ca-cert.pem", wrong);
    const isRoot = roots.value.some(
      (root) => new X509Certificate(root).fingerprint256 === certificate.fingerprint256,
    );
    return parsed({
      signing: { certificatePem, key },
      intermediatesPem: isRoot ? [] : intermediates(certificatePem, chain, roots.value),
      rootsPem: roots.value.map((pem) => `${pem.trim()}\n`).join(""),
      notAfterMs: Date.parse(certificate.validTo),
    });
  } catch {
    // The cause may quote the key's text.
    return problem("ca-key.pem", "or ca-cert.pem cannot be read");
  }
}

interface Issuers {
  readonly chain: readonly string[];
  readonly roots: readonly string[];
}

function mismatch(certificate: X509Certificate, key: KeyObject, issuers: Issuers): string | undefined {
  if (!certificate.ca) return "is not a CA certificate";
  if (!certificate.checkPrivateKey(key)) return "does not belong to ca-key.pem";
  return chainsToRoot(certificate, issuers) ? undefined : "does not chain to root-cert.pem";
}

/** Whether peers, who trust the roots alone, can follow the chain to one: else every leaf of this CA is refused. */
function chainsToRoot(certificate: X509Certificate, { chain, roots }: Issuers): boolean {
  const parse = (pem: string): X509Certificate => new X509Certificate(pem);
  const anchors = roots.map(parse);
  const links = chain.map(parse).filter((link) => link.ca);
  let reached = [certificate];
  while (reached.length > 0) {
    if (reached.some((each) => anchors.some((root) => isRootOf(root, each)))) return true;
    // Each link is used once, so that certificates which issue each other lead nowhere.
    const next = links.filter((link) => reached.some((each) => hasIssued(link, each)));
    for (const link of next) links.splice(links.indexOf(link), 1);
    reached = next;
  }
  return false;
}

function isRootOf(root: X509Certificate, certificate: X509Certificate): boolean {
  return root.fingerprint256 === certificate.fingerprint256 || hasIssued(root, certificate);
}

function hasIssued(issuer: X509Certificate, certificate: X509Certificate): boolean {
  return certificate.checkIssued(issuer) && certificate.verify(issuer.publicKey);
}

/** Signing certificate first; roots are left to the bundle. */
function intermediates(
  certificatePem: string,
  chain: readonly string[],
  roots: readonly string[],
): readonly string[] {
  const fingerprint = (pem: string): string => new X509Certificate(pem).fingerprint256;
  const known = new Set([fingerprint(certificatePem), ...roots.map(fingerprint)]);
  return [certificatePem, ...chain.filter((pem) => !known.has(fingerprint(pem)))];
}

/** Undefined for text that is not a list of certificates. */
function splitPem(text: string): readonly string[] | undefined {
  if (text.trim() === "") return [];
  const bundle = parseTrustBundle(text);
  return bundle.ok ? bundle.value : undefined;
}

/** A new self-signed root with a new key, as the Secret's entries. */
export function makeSelfSignedRoot(trustDomain: string, nowMs: number): CaFiles {
  const { privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const root = buildRoot(privateKey, {
    organization: trustDomain,
    notBeforeMs: nowMs - BACKDATE_MS,
    notAfterMs: nowMs + ROOT_LIFE_MS,
  });
  return {
    "ca-cert.pem": root,
    "ca-key.pem": privateKey.export({ type: "pkcs8", format: "pem" }) as string,
    "cert-chain.pem": "",
    "key.pem": "",
    "root-cert.pem": root,
  };
}
