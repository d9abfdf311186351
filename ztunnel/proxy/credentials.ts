/**
 * Steps O8 and I1, I2: certificates as TLS contexts, and the verdict on a peer. A context is built once per certificate;
 * a peer is judged from the DER of its whole chain.
 */
import type { X509Certificate } from "node:crypto";
import type { SecureContext } from "node:tls";
import { deadline } from "#core/base/abort.ts";
import type { HboneCredentials } from "#core/hbone/hbone-pool.ts";
import type { PeerVerdict } from "#core/hbone/hbone-server.ts";
import type { WorkloadCertificate } from "#core/identity/certificate.ts";
import type { PeerChain } from "#core/identity/peer-verdict.ts";
import {
  clientContext,
  serverContext,
  verifyClientPeer,
  verifyServerPeer,
} from "#core/identity/tls-options.ts";
import type { SpiffeId } from "#core/model/spiffe-id.ts";
import type { ProxyDeps } from "./proxy-deps.ts";

const MAX_CHAIN = 10;

const clientContexts = new WeakMap<WorkloadCertificate, SecureContext>();
const serverContexts = new WeakMap<WorkloadCertificate, SecureContext>();

/** The certificate in force, or the next one within the bound; rejects with the CA's error or the signal's reason. */
export async function certificateFor(
  deps: ProxyDeps,
  identity: SpiffeId,
  signal: AbortSignal,
): Promise<WorkloadCertificate> {
  const now = deps.certificates.current(identity);
  if (now !== undefined) return now;
  return deps.certificates.fetch(identity, "connection", deadline(deps.options.certificateWaitMs, signal));
}

/** What a tunnel is dialled with. Expects one of `expected`, nobody when the list is empty. */
export function clientCredentials(
  certificate: WorkloadCertificate,
  expected: readonly SpiffeId[],
): HboneCredentials {
  return {
    context: cached(clientContexts, certificate, clientContext),
    serial: certificate.serial,
    notAfterMs: certificate.notAfterMs,
    verifyPeer: (peer) => verifyServerPeer(chainOf(peer), { expectedIdentities: expected }),
  };
}

export function serverTls(certificate: WorkloadCertificate): SecureContext {
  return cached(serverContexts, certificate, serverContext);
}

export function verifyClient(peer: X509Certificate, trustDomains: readonly string[]): PeerVerdict {
  return verifyClientPeer(chainOf(peer), { trustDomains });
}

/** DER, leaf first, without looping over a self-issued root. */
function chainOf(leaf: X509Certificate): PeerChain {
  const chain: Uint8Array[] = [];
  let current: X509Certificate | undefined = leaf;
  while (current !== undefined && chain.length < MAX_CHAIN) {
    chain.push(current.raw);
    const issuer: X509Certificate | undefined = current.issuerCertificate;
    current = issuer === undefined || issuer.raw.equals(current.raw) ? undefined : issuer;
  }
  return chain;
}

function cached(
  cache: WeakMap<WorkloadCertificate, SecureContext>,
  certificate: WorkloadCertificate,
  make: (certificate: WorkloadCertificate) => SecureContext,
): SecureContext {
  const known = cache.get(certificate);
  if (known !== undefined) return known;
  const context = make(certificate);
  cache.set(certificate, context);
  return context;
}
