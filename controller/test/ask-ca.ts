/** One CreateCertificate request over gRPC, good or bad. */
import assert from "node:assert/strict";
import { type Client, Metadata, type ServiceError } from "@grpc/grpc-js";
import {
  CREATE_CERTIFICATE_PATH,
  decodeCertificateResponse,
  encodeCertificateRequest,
} from "#core/wire/ca-codec.ts";
import type { JsonObject } from "#core/wire/json-value.ts";

export interface Ask {
  /** Empty: none is sent. */
  readonly token?: string;
  readonly clusterId?: string;
  readonly metadata?: JsonObject;
  readonly csrPem?: string;
  readonly validitySeconds?: number;
  /** In place of an encoded request. */
  readonly raw?: Uint8Array;
}

/** The chain; rejects with the ServiceError of a refusal. */
export function askCa(client: Client, options: Ask): Promise<readonly string[]> {
  const {
    token = "",
    clusterId = "Kubernetes",
    csrPem = "",
    validitySeconds = 3_600,
    metadata = {},
  } = options;
  const headers = new Metadata();
  if (token !== "") headers.set("authorization", `Bearer ${token}`);
  headers.set("clusterid", clusterId);
  const request = options.raw ?? encodeCertificateRequest({ csrPem, validitySeconds, metadata });
  return new Promise((resolve, reject) => {
    client.makeUnaryRequest(
      CREATE_CERTIFICATE_PATH,
      (bytes: Uint8Array) => Buffer.from(bytes),
      (bytes: Buffer) => bytes,
      request,
      headers,
      { deadline: Date.now() + 5_000 },
      (error: ServiceError | null, reply?: Buffer) => {
        if (error !== null) {
          reject(error);
          return;
        }
        const decoded = decodeCertificateResponse(reply ?? Buffer.alloc(0));
        assert.ok(decoded.ok);
        resolve(decoded.value.certChain);
      },
    );
  });
}
