/** Pure. Messages of `istio.v1.auth.IstioCertificateService` (Istio's citadel.proto). */
import type { Parsed } from "../base/parse-result.ts";
import type { JsonObject } from "./json-value.ts";
import { append, parseMessage, readFields } from "./proto-reader.ts";
import { ProtoWriter } from "./proto-writer.ts";
import { readStruct, writeStruct } from "./struct-codec.ts";

export const CREATE_CERTIFICATE_PATH = "/istio.v1.auth.IstioCertificateService/CreateCertificate";
/** A request: CSR of 16 KiB at most plus metadata. */
export const MAX_CERTIFICATE_REQUEST_BYTES = 64 * 1024;
const MAX_CERTIFICATE_RESPONSE_BYTES = 4 * 1024 * 1024;
const MAX_CHAIN_ELEMENTS = 32;

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

export function encodeCertificateRequest(request: CertificateRequest): Uint8Array {
  const writer = new ProtoWriter(4096);
  writeStruct(writer, 4, request.metadata);
  writer.uint(3, Math.max(0, Math.floor(request.validitySeconds)));
  writer.string(1, request.csrPem);
  return writer.finish();
}

export function decodeCertificateRequest(bytes: Uint8Array): Parsed<CertificateRequest> {
  return parseMessage(bytes, MAX_CERTIFICATE_REQUEST_BYTES, (reader) =>
    readFields(
      reader,
      {
        1: (d, r) => (d.csrPem = r.string(MAX_CERTIFICATE_REQUEST_BYTES)),
        3: (d, r) => (d.validitySeconds = r.int64()),
        4: (d, r) => (d.metadata = readStruct(r.message())),
      },
      { csrPem: "", validitySeconds: 0, metadata: {} as JsonObject },
    ),
  );
}

export function encodeCertificateResponse(response: CertificateResponse): Uint8Array {
  const writer = new ProtoWriter(8192);
  writer.strings(1, response.certChain);
  return writer.finish();
}

export function decodeCertificateResponse(bytes: Uint8Array): Parsed<CertificateResponse> {
  return parseMessage(bytes, MAX_CERTIFICATE_RESPONSE_BYTES, (reader) => {
    const certChain: string[] = [];
    readFields(
      reader,
      { 1: (list, r) => append(list, r.string(MAX_CERTIFICATE_RESPONSE_BYTES), MAX_CHAIN_ELEMENTS) },
      certChain,
    );
    return { certChain };
  });
}
