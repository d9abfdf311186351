/**
 * Steps O8 and I1, I2: the pod's own certificate within a bound, and the verdict on a peer, judged from the DER of its
 * whole chain.
 */
import type { X509Certificate } from "node:crypto";
import { deadline } from "#core/base/abort.ts";
import type { HboneCredentials } from "#core/hbone/hbone-pool.ts";
import type { PeerVerdict } from "#core/hbone/hbone-server.ts";
import type { WorkloadCertificate } from "#core/identity/certificate.ts";
import { clientContext, peerChain, verifyClientPeer, verifyServerPeer } from "#core/identity/tls-options.ts";
import type { SpiffeId } from "#core/model/spiffe-id.ts";
import type { ProxyDeps } from "./proxy-deps.ts";

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
    context: clientContext(certificate),
    serial: certificate.serial,
    notAfterMs: certificate.notAfterMs,
    verifyPeer: (peer) => verifyServerPeer(peerChain(peer), { expectedIdentities: expected }),
  };
}

export function verifyClient(peer: X509Certificate, trustDomains: readonly string[]): PeerVerdict {
  return verifyClientPeer(peerChain(peer), { trustDomains });
}
