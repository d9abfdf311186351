/**
 * Certificates of every identity that this process speaks for: fetched when needed, renewed at half-life, forgotten
 * with the last workload. A connection that waits comes before a prefetch, a prefetch before a renewal.
 */
import type { Clock } from "../base/clock.ts";
import type { SpiffeId } from "../model/spiffe-id.ts";
import type { Logger } from "../runtime/log.ts";
import type { CertificateIssuer, PublicCertificate, WorkloadCertificate } from "./certificate.ts";

export interface CertificateManagerDeps {
  readonly issuer: CertificateIssuer;
  readonly clock: Clock;
  readonly log: Logger;
  readonly random?: () => number;
}

export type CertificateState =
  | { readonly kind: "initializing" }
  | { readonly kind: "available"; readonly certificate: PublicCertificate }
  | { readonly kind: "unavailable"; readonly error: string };

export interface CertificateEntry {
  readonly identity: SpiffeId;
  readonly state: CertificateState;
}

export class CertificateManager {
  constructor(_deps: CertificateManagerDeps) {}

  /** The certificate in force, if it is valid now. */
  current(_identity: SpiffeId): WorkloadCertificate | undefined {
    throw new Error("not built yet");
  }

  /** Waits for a valid certificate; rejects when the CA refuses it or the signal fires. */
  fetch(
    _identity: SpiffeId,
    _priority: "connection" | "warmup",
    _signal: AbortSignal,
  ): Promise<WorkloadCertificate> {
    throw new Error("not built yet");
  }

  /** The last workload of this identity is gone: drop key and certificate, end its requests. */
  forget(_identity: SpiffeId): void {}

  /** Every identity known, sorted; never with keys. */
  list(): readonly CertificateEntry[] {
    throw new Error("not built yet");
  }

  /** Called with each certificate that comes into force. Returns the function that ends it. */
  subscribe(_listener: (certificate: WorkloadCertificate) => void): () => void {
    throw new Error("not built yet");
  }

  /** Renewal ticks each 60 s on the wall clock, until the signal fires. */
  start(_signal: AbortSignal): void {}
}
