/** Certificate signing requests (PKCS#10): P-256, SHA-256, empty subject, one URI SAN. */
import type { KeyObject } from "node:crypto";
import type { Parsed } from "../base/parse-result.ts";
import type { SpiffeId } from "../model/spiffe-id.ts";

export const MAX_CSR_BYTES = 16_384;

/** PEM of a request for `identity`, signed by `key` (P-256). */
export function buildCsr(_identity: SpiffeId, _key: KeyObject): string {
  throw new Error("not built yet");
}

export interface VerifiedCsr {
  /** SubjectPublicKeyInfo of a P-256 key, DER. Everything else that the request says is ignored. */
  readonly publicKeyDer: Uint8Array;
}

/** Strict DER, P-256, self-signature checked, at most 16 KiB. */
export function parseCsr(_pem: string): Parsed<VerifiedCsr> {
  throw new Error("not built yet");
}
