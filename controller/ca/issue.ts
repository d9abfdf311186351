/** One certificate: lifetime and CSR are checked, the leaf is built. What the CSR asks for beyond its key is ignored. */
import { X509Certificate } from "node:crypto";
import { buildLeaf } from "#core/identity/build-certificate.ts";
import { parseCsr } from "#core/identity/csr.ts";
import type { SpiffeId } from "#core/model/spiffe-id.ts";
import type { CaMaterial } from "./ca-material.ts";

export interface IssuePolicy {
  /** DEFAULT_WORKLOAD_CERT_TTL, milliseconds. */
  readonly defaultTtlMs: number;
  /** MAX_WORKLOAD_CERT_TTL, milliseconds. Longer is an error, not cut. */
  readonly maxTtlMs: number;
}

export interface IssueRequest {
  readonly identity: SpiffeId;
  readonly csrPem: string;
  /** 0 or less: the default. */
  readonly validitySeconds: number;
  readonly nowMs: number;
}

export type IssueOutcome =
  | {
      readonly kind: "issued";
      /** Leaf, intermediates one by one, last the bundle of roots. */
      readonly chain: readonly string[];
      readonly serial: string;
      readonly notAfterMs: number;
    }
  | { readonly kind: "refused"; readonly why: string };

/** Clocks of nodes may be behind by this much. */
const BACKDATE_MS = 120_000;

export function issueCertificate(request: IssueRequest, ca: CaMaterial, policy: IssuePolicy): IssueOutcome {
  const ttlMs = request.validitySeconds > 0 ? request.validitySeconds * 1_000 : policy.defaultTtlMs;
  if (ttlMs > policy.maxTtlMs) {
    return {
      kind: "refused",
      why: `a life of ${ttlMs / 1_000} s is longer than ${policy.maxTtlMs / 1_000} s`,
    };
  }
  const csr = parseCsr(request.csrPem);
  if (!csr.ok) return { kind: "refused", why: `the CSR ${csr.problems[0]?.message ?? "is bad"}` };
  if (ca.notAfterMs <= request.nowMs) return { kind: "refused", why: "the CA's own certificate has expired" };
  const notAfterMs = Math.min(request.nowMs + ttlMs, ca.notAfterMs);
  const leaf = buildLeaf(ca.signing, {
    identity: request.identity,
    publicKeyDer: csr.value.publicKeyDer,
    notBeforeMs: request.nowMs - BACKDATE_MS,
    notAfterMs,
  });
  return {
    kind: "issued",
    chain: [leaf, ...ca.intermediatesPem, ca.rootsPem],
    serial: new X509Certificate(leaf).serialNumber.toLowerCase(),
    notAfterMs,
  };
}
