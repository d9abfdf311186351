/** Pure. Messages of `istio.v1.auth.IstioCertificateService` (Istio's citadel.proto). */
import type { Parsed } from "../base/parse-result.ts";
import type { JsonObject } from "./json-value.ts";

export const CREATE_CERTIFICATE_PATH = "/istio.v1.auth.IstioCertificateService/CreateCertificate";

export interface CertificateRequest {
  readonly csrPem: string;
  /** 0 or less: the CA's default. */
  readonly validitySeconds: number;
  /** `ImpersonatedIdentity`, `CertSigner` and informational entries. */
  readonly metadata: JsonObject;
}

export interface CertificateResponse {
  /** Leaf, intermediates (one PEM each), last the root bundle (one or more PEMs). */
  readonly certChain: readonly string[];
}

export function encodeCertificateRequest(_request: CertificateRequest): Uint8Array {
  throw new Error("not built yet");
}

export function decodeCertificateRequest(_bytes: Uint8Array): Parsed<CertificateRequest> {
  throw new Error("not built yet");
}

export function encodeCertificateResponse(_response: CertificateResponse): Uint8Array {
  throw new Error("not built yet");
}

export function decodeCertificateResponse(_bytes: Uint8Array): Parsed<CertificateResponse> {
  throw new Error("not built yet");
}
