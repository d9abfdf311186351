/** Identities with certificates of a CA in this process, for tests of TLS and tunnels. */
import { constants } from "node:crypto";
import { createSecureContext, type SecureContext } from "node:tls";
import type { WorkloadCertificate } from "../identity/certificate.ts";
import { createFileCa, type FileCa } from "../identity/file-ca.ts";
import { type SpiffeId, spiffeId } from "../model/spiffe-id.ts";

export function testIdentity(serviceAccount: string, trustDomain = "cluster.local"): SpiffeId {
  return spiffeId({ trustDomain, namespace: "test", serviceAccount });
}

export function testCa(nowMs?: () => number): FileCa {
  return createFileCa({ trustDomain: "cluster.local", ...(nowMs === undefined ? {} : { nowMs }) });
}

/** A context with a leaf of one CA and the root of another, or without a leaf. */
export function contextOf(leaf: WorkloadCertificate | undefined, rootPem: string): SecureContext {
  return createSecureContext({
    ...(leaf === undefined ? {} : { cert: leaf.chainPem, key: leaf.keyPem }),
    ca: [rootPem],
    minVersion: "TLSv1.3",
    secureOptions: constants.SSL_OP_NO_TICKET,
  });
}
