/**
 * A workload's certificate with its private key. Keys live in memory only: this value is never logged, dumped or
 * serialised; `publicCertificate` is the part that may be shown.
 */
import type { SpiffeId } from "../model/spiffe-id.ts";

export interface WorkloadCertificate {
  readonly identity: SpiffeId;
  /** Leaf first, then intermediates; never the root. */
  readonly chainPem: string;
  /** PKCS#8. Secret. */
  readonly keyPem: string;
  /** Trust anchors that came with this certificate, one PEM each; never empty. */
  readonly rootsPem: readonly string[];
  /** Lower-case hex without leading zeros pairs, as in the DER integer. */
  readonly serial: string;
  readonly notBeforeMs: number;
  readonly notAfterMs: number;
}

export type PublicCertificate = Omit<WorkloadCertificate, "keyPem">;

export function publicCertificate(certificate: WorkloadCertificate): PublicCertificate {
  const { keyPem: _secret, ...shown } = certificate;
  return shown;
}

/** Who makes certificates: the CA over gRPC, or a CA in this process. A new key for every call. */
export interface CertificateIssuer {
  /** Rejects with an AmbitError (`retryable` says whether waiting helps) or the signal's reason. */
  issue(identity: SpiffeId, signal: AbortSignal): Promise<WorkloadCertificate>;
}

/** Clocks of CA and node may differ by this much. */
const SKEW_TOLERANCE_MS = 120_000;

export function isValidAt(
  { notBeforeMs, notAfterMs }: Pick<WorkloadCertificate, "notBeforeMs" | "notAfterMs">,
  nowMs: number,
): boolean {
  return nowMs < notAfterMs && notBeforeMs <= nowMs + SKEW_TOLERANCE_MS;
}

/** When it is to be renewed. */
export function halfLifeMs(certificate: WorkloadCertificate): number {
  return (certificate.notBeforeMs + certificate.notAfterMs) / 2;
}
