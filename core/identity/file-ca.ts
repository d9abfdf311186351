/** A certificate authority in this process, from key files or made on the spot: for file-driven runs and tests. */
import type { SpiffeId } from "../model/spiffe-id.ts";
import type { CertificateIssuer, WorkloadCertificate } from "./certificate.ts";

export interface FileCaOptions {
  readonly trustDomain: string;
  /** Existing root, PEM; both or neither. */
  readonly rootPem?: string;
  readonly rootKeyPem?: string;
  /** Life of leaves in milliseconds; 24 h unless told. */
  readonly ttlMs?: number;
  readonly nowMs?: () => number;
}

export interface FileCa extends CertificateIssuer {
  readonly rootPem: string;
  /** Secret. */
  readonly rootKeyPem: string;
  /** The synchronous form of `issue`. */
  issueNow(identity: SpiffeId): WorkloadCertificate;
}

export function createFileCa(_options: FileCaOptions): FileCa {
  throw new Error("not built yet");
}
