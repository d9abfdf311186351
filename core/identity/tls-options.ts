/**
 * The only constructor of TLS contexts for HBONE, and the judge of whoever is at the other end. TLS 1.3 alone, AES-GCM
 * alone, no tickets; a context without a parsed root is never made, because `ca: undefined` would trust the public
 * web. TLS proves that a chain leads to a root; the functions here decide whom the leaf may speak for, since Node
 * accepts CA leaves, certificates under them, several URIs and none.
 */
import { constants, type X509Certificate } from "node:crypto";
import { createSecureContext, type SecureContext } from "node:tls";
import { parseSpiffeId, type SpiffeId, spiffeParts } from "../model/spiffe-id.ts";
import { AmbitError } from "../runtime/errors.ts";
import type { WorkloadCertificate } from "./certificate.ts";
import type {
  ClientPeerPolicy,
  PeerChain,
  PeerVerdict,
  RevocationList,
  ServerPeerPolicy,
} from "./peer-verdict.ts";
import { parseTrustBundle } from "./trust-bundle.ts";
import { type CertificateFields, OID_HEX, parseCertificate } from "./x509.ts";

export const HBONE_ALPN: readonly string[] = ["h2"];
/** AES-256 first, as Istio's ztunnel prefers. */
export const HBONE_CIPHERS = "TLS_AES_256_GCM_SHA384:TLS_AES_128_GCM_SHA256";
const GROUPS = "X25519:P-256:P-384:X25519MLKEM768";
const MAX_CHAIN = 10;
/** A SPIFFE authority may carry its trust domain as URI, but never a path. */
const WORKLOAD_URI = /^spiffe:\/\/[^/]*\/./;

const contexts = new WeakMap<WorkloadCertificate, SecureContext>();

/** Context for accepting tunnels. Made once per certificate. Throws IDENTITY_NO_ROOT without a parsed root. */
export function serverContext(certificate: WorkloadCertificate): SecureContext {
  return contextOf(certificate);
}

/** Context for opening tunnels. Made once per certificate. Throws IDENTITY_NO_ROOT without a parsed root. */
export function clientContext(certificate: WorkloadCertificate): SecureContext {
  return contextOf(certificate);
}

function contextOf(certificate: WorkloadCertificate): SecureContext {
  const known = contexts.get(certificate);
  if (known !== undefined) return known;
  const roots = parseTrustBundle(certificate.rootsPem.join(""));
  if (!roots.ok || roots.value.length === 0) {
    const why = roots.ok ? "there is none" : (roots.problems[0]?.message ?? "unreadable");
    throw new AmbitError("IDENTITY_NO_ROOT", `no trust anchors for ${certificate.identity}: ${why}`);
  }
  const context = createSecureContext({
    key: certificate.keyPem,
    cert: certificate.chainPem,
    ca: [...roots.value],
    minVersion: "TLSv1.3",
    maxVersion: "TLSv1.3",
    ciphers: HBONE_CIPHERS,
    ecdhCurve: GROUPS,
    honorCipherOrder: true,
    secureOptions: constants.SSL_OP_NO_TICKET,
  });
  contexts.set(certificate, context);
  return context;
}

/** The chain as the peer sent it, leaf first. Read it once: the accessors cost microseconds each. */
export function peerChain(leaf: X509Certificate): PeerChain {
  const chain: Uint8Array[] = [];
  let at: X509Certificate | undefined = leaf;
  while (at !== undefined && chain.length <= MAX_CHAIN) {
    chain.push(at.raw);
    at = at.issuerCertificate === at ? undefined : at.issuerCertificate;
  }
  return chain;
}

/** Pure. The verdict of a server on the client's chain: a workload of one of our trust domains. */
export function verifyClientPeer(chain: PeerChain, policy: ClientPeerPolicy): PeerVerdict {
  const verdict = verifyChain(chain, OID_HEX.clientAuth, policy.revoked);
  if (verdict.kind === "refused") return verdict;
  const { trustDomain } = spiffeParts(verdict.identity);
  return policy.trustDomains.includes(trustDomain)
    ? verdict
    : refused(`trust domain "${trustDomain}" is not ours (${policy.trustDomains.join(", ")})`);
}

/** Pure. The verdict of a client on the server's chain: one of the identities that it meant to reach. */
export function verifyServerPeer(chain: PeerChain, policy: ServerPeerPolicy): PeerVerdict {
  const verdict = verifyChain(chain, OID_HEX.serverAuth, policy.revoked);
  if (verdict.kind === "refused") return verdict;
  const expected: readonly SpiffeId[] = policy.expectedIdentities;
  return expected.includes(verdict.identity)
    ? verdict
    : refused(`peer is ${verdict.identity}, expected ${expected.join(" or ") || "nobody"}`);
}

function verifyChain(chain: PeerChain, purpose: string, revoked: RevocationList | undefined): PeerVerdict {
  if (chain.length === 0) return refused("peer has no certificate");
  if (chain.length > MAX_CHAIN) return refused(`chain is longer than ${MAX_CHAIN}`);
  const certificates: CertificateFields[] = [];
  for (const [i, der] of chain.entries()) {
    const fields = parseCertificate(der);
    if (!fields.ok) return refused(`certificate ${i} ${fields.problems[0]?.message ?? "is bad"}`);
    certificates.push(fields.value);
  }
  const [leaf, ...issuers] = certificates;
  if (leaf === undefined) return refused("peer has no certificate");
  const why = whyBadIssuers(certificates) ?? whyRevoked(certificates, revoked);
  return why === undefined ? verifyLeaf(leaf, purpose, issuers.length) : refused(why);
}

function verifyLeaf(leaf: CertificateFields, purpose: string, issuerCount: number): PeerVerdict {
  if (leaf.isCa) return refused(`leaf is a CA certificate (chain of ${issuerCount + 1})`);
  if (leaf.uris.length !== 1) return refused(`leaf has ${leaf.uris.length} URI names instead of one`);
  const identity = parseSpiffeId(leaf.uris[0] ?? "");
  if (!identity.ok) return refused(identity.problems[0]?.message ?? "leaf has no SPIFFE identity");
  if (leaf.extendedKeyUsages?.includes(purpose) !== true) return refused("leaf lacks the key purpose");
  const { serial, notAfterMs } = leaf;
  return { kind: "accepted", identity: identity.value, serial, notAfterMs };
}

/**
 * Everything above the leaf must be a CA of its own, in order, and never a workload: a workload's certificate that says
 * CA:true would make its holder an authority.
 */
function whyBadIssuers(certificates: readonly CertificateFields[]): string | undefined {
  for (const [i, certificate] of certificates.entries()) {
    const below = certificates[i - 1];
    if (below === undefined) continue;
    if (!certificate.isCa) return `certificate ${i} issues others but is no CA`;
    if (certificate.uris.some((uri) => WORKLOAD_URI.test(uri)))
      return `certificate ${i} is a workload's and must not issue others`;
    if (below.issuer !== certificate.subject) return `certificate ${i} does not belong to the chain`;
  }
  return undefined;
}

function whyRevoked(
  certificates: readonly CertificateFields[],
  revoked: RevocationList | undefined,
): string | undefined {
  const hit = certificates.find((c) => revoked?.isRevoked(c.issuer, c.serial) === true);
  return hit === undefined ? undefined : `certificate ${hit.serial} is revoked`;
}

function refused(reason: string): PeerVerdict {
  return { kind: "refused", reason };
}
