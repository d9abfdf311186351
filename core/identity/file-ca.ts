/** A certificate authority in this process, from key files or made on the spot: for file-driven runs and tests. */
import { createPrivateKey, generateKeyPairSync, type KeyObject } from "node:crypto";
import { describeProblems } from "../base/parse-result.ts";
import type { SpiffeId } from "../model/spiffe-id.ts";
import { AmbitError } from "../runtime/errors.ts";
import { assembleCertificate } from "./assemble-certificate.ts";
import { buildLeaf, buildRoot, type SigningCa, spkiOf } from "./build-certificate.ts";
import type { CertificateIssuer, WorkloadCertificate } from "./certificate.ts";

const DAY_MS = 86_400_000;
const BACKDATE_MS = 120_000;

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
  /** PKCS#8 PEM. Secret. */
  readonly rootKeyPem: string;
  /** For certificates of other forms. */
  readonly signer: SigningCa;
  /** The synchronous form of `issue`. */
  issueNow(identity: SpiffeId): WorkloadCertificate;
}

/** Throws when only one half of the root is given or the halves are unusable. */
export function createFileCa(options: FileCaOptions): FileCa {
  const { trustDomain, ttlMs = DAY_MS, nowMs = Date.now } = options;
  const signer = signerFrom(options, trustDomain, nowMs());
  const issueNow = (identity: SpiffeId): WorkloadCertificate => {
    const now = nowMs();
    const { privateKey } = newKeyPair();
    const publicKeyDer = spkiOf(privateKey);
    const validity = { notBeforeMs: now - BACKDATE_MS, notAfterMs: now + ttlMs };
    const leaf = buildLeaf(signer, { identity, publicKeyDer, ...validity });
    const keyPem = exportKey(privateKey);
    const result = assembleCertificate(
      { identity, keyPem, publicKeyDer, chain: [leaf, signer.certificatePem] },
      now,
    );
    if (result.ok) return result.value;
    throw new AmbitError("CA_UNUSABLE", `this CA cannot issue: ${describeProblems(result.problems)}`);
  };
  return {
    rootPem: signer.certificatePem,
    rootKeyPem: exportKey(signer.key),
    signer,
    issueNow,
    issue: (identity) => Promise.resolve().then(() => issueNow(identity)),
  };
}

/** A fresh P-256 pair. */
export function newKeyPair(): { readonly privateKey: KeyObject; readonly publicKey: KeyObject } {
  return generateKeyPairSync("ec", { namedCurve: "P-256" });
}

/** PKCS#8 PEM. Secret. */
export function exportKey(key: KeyObject): string {
  return key.export({ type: "pkcs8", format: "pem" }).toString();
}

function signerFrom(options: FileCaOptions, trustDomain: string, nowMs: number): SigningCa {
  const { rootPem, rootKeyPem } = options;
  if (rootPem !== undefined && rootKeyPem !== undefined)
    return { certificatePem: rootPem, key: createPrivateKey(rootKeyPem) };
  if (rootPem !== undefined || rootKeyPem !== undefined)
    throw new AmbitError("CA_UNUSABLE", "a root needs both its certificate and its key");
  const { privateKey } = newKeyPair();
  const life = { notBeforeMs: nowMs - BACKDATE_MS, notAfterMs: nowMs + 3650 * DAY_MS };
  return { certificatePem: buildRoot(privateKey, { organization: trustDomain, ...life }), key: privateKey };
}
