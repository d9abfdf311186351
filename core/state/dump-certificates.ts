/** Pure. Certificates for `config_dump`: public parts only; each certificate as base64 of its PEM text. */
import { X509Certificate } from "node:crypto";
import type { CertificateEntry } from "../identity/cert-manager.ts";
import type { PublicCertificate } from "../identity/certificate.ts";
import type { JsonObject } from "../wire/json-value.ts";

export function dumpCertificates(entries: readonly CertificateEntry[]): readonly JsonObject[] {
  return entries.toSorted((a, b) => (a.identity < b.identity ? -1 : 1)).map(dumpEntry);
}

function dumpEntry({ identity, state }: CertificateEntry): JsonObject {
  switch (state.kind) {
    case "available":
      return { identity, state: "Available", ...dumpChain(state.certificate) };
    case "initializing":
      return { identity, state: "Initializing", certChain: [], rootCerts: [] };
    case "unavailable":
      return { identity, state: `Unavailable: ${state.error}`, certChain: [], rootCerts: [] };
  }
}

function dumpChain({ chainPem, rootsPem }: PublicCertificate): JsonObject {
  return { certChain: splitPem(chainPem).map(dumpPem), rootCerts: rootsPem.flatMap(splitPem).map(dumpPem) };
}

/** `serialNumber` is decimal: istioctl turns it into hex itself. */
function dumpPem(pem: string): JsonObject {
  const certificate = new X509Certificate(pem);
  return {
    pem: Buffer.from(pem).toString("base64"),
    serialNumber: BigInt(`0x${certificate.serialNumber}`).toString(10),
    validFrom: rfc3339(certificate.validFromDate),
    expirationTime: rfc3339(certificate.validToDate),
  };
}

function splitPem(text: string): readonly string[] {
  return text.match(/-----BEGIN CERTIFICATE-----[\s\S]+?-----END CERTIFICATE-----\n?/g) ?? [];
}

function rfc3339(date: Date): string {
  return `${date.toISOString().slice(0, 19)}Z`;
}
