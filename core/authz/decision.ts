/** Pure. The outcome of authorization, of a connection or of a request, with what is needed to explain it. */
import type { PolicyKey } from "../model/ids.ts";

export type ConnectionDimension =
  | "namespaces"
  | "principals"
  | "service-accounts"
  | "source-ips"
  | "destination-ips"
  | "destination-ports";

export type MatchDimension = ConnectionDimension | "hosts" | "methods" | "paths" | "headers";

/** The ALLOW rule that came closest: what would have had to be different. */
export interface NearestMiss {
  readonly policy: PolicyKey;
  readonly rule: number;
  /** The dimensions that did not match, in the closest match of each failed clause. */
  readonly failed: readonly MatchDimension[];
}

export type Decision =
  | { readonly kind: "allow"; readonly reason: "no-allow-policies" }
  | {
      readonly kind: "allow";
      readonly reason: "matched-allow";
      readonly policy: PolicyKey;
      readonly rule: number;
    }
  | {
      readonly kind: "deny";
      readonly reason: "matched-deny";
      readonly policy: PolicyKey;
      readonly rule: number;
    }
  | { readonly kind: "deny"; readonly reason: "no-allow-matched"; readonly nearest: NearestMiss | undefined }
  | { readonly kind: "deny"; readonly reason: "policy-missing"; readonly missing: readonly PolicyKey[] };

/** A policy about requests that decides nothing and matches: a dry run, or one that audits. */
export interface NotedMatch {
  readonly policy: PolicyKey;
  readonly rule: number;
  readonly action: "allow" | "deny" | "audit";
  readonly dryRun: boolean;
}

/** What a dry-run policy about connections would have done. */
export interface DryRunMatch {
  readonly policy: PolicyKey;
  readonly rule: number;
  readonly action: "allow" | "deny";
}
