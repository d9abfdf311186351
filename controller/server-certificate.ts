/**
 * The controller's own TLS identity on 15012: a leaf of its own CA for the service's names, made anew at half-life and
 * whenever the CA changes. TLS 1.3 only. Clients authenticate by token; no client certificate is asked for.
 */
import { generateKeyPairSync } from "node:crypto";
import type { SecureContextOptions } from "node:tls";
import { ServerCredentials } from "@grpc/grpc-js";
import type { Clock } from "#core/base/clock.ts";
import { buildServerLeaf, spkiOf } from "#core/identity/build-certificate.ts";
import type { CaMaterial } from "./ca/ca-material.ts";

const LIFE_MS = 24 * 3_600_000;
const BACKDATE_MS = 120_000;
const CIPHERS = "TLS_AES_256_GCM_SHA384:TLS_AES_128_GCM_SHA256";

/** gRPC credentials whose certificate can be changed while connections are open. */
export class RenewableCredentials extends ServerCredentials {
  constructor(first: SecureContextOptions) {
    super({ minVersion: "TLSv1.3", ciphers: CIPHERS, requestCert: false, ALPNProtocols: ["h2"] }, first);
  }

  renew(context: SecureContextOptions): void {
    this.updateSecureContextOptions(context);
  }

  override _equals(other: ServerCredentials): boolean {
    return this === other;
  }
}

/** A new key and certificate for `names`. */
export function makeServerContext(
  ca: CaMaterial,
  names: readonly string[],
  nowMs: number,
): SecureContextOptions {
  const { publicKey, privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const leaf = buildServerLeaf(ca.signing, {
    dnsNames: names,
    publicKeyDer: spkiOf(publicKey),
    notBeforeMs: nowMs - BACKDATE_MS,
    notAfterMs: nowMs + LIFE_MS,
  });
  return {
    key: privateKey.export({ type: "pkcs8", format: "pem" }) as string,
    cert: [leaf, ...ca.intermediatesPem].join(""),
    minVersion: "TLSv1.3",
  };
}

/** Calls `renew` at half-life, for ever. Returns the function that ends it. */
export function keepRenewing(clock: Clock, renew: () => void): () => void {
  let cancel = (): void => undefined;
  const arm = (): void => {
    cancel = clock.after(LIFE_MS / 2, () => {
      renew();
      arm();
    });
  };
  arm();
  return () => cancel();
}
