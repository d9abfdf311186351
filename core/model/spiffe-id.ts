/** Pure. A workload identity as SPIFFE text: `spiffe://<trust domain>/ns/<namespace>/sa/<account>`. */
import { type Parsed, parsed, problem } from "../base/parse-result.ts";

/** The full URI, valid by construction. */
export type SpiffeId = string & { readonly __brand: "SpiffeId" };

export interface SpiffeParts {
  readonly trustDomain: string;
  readonly namespace: string;
  readonly serviceAccount: string;
}

const SCHEME = "spiffe://";
const SEGMENT = /^[A-Za-z0-9._-]{1,253}$/;

export function spiffeId(parts: SpiffeParts): SpiffeId {
  return `${SCHEME}${parts.trustDomain}/ns/${parts.namespace}/sa/${parts.serviceAccount}` as SpiffeId;
}

/** Strict: exactly five segments of unreserved characters, nothing percent-encoded, no query. */
export function parseSpiffeId(text: string): Parsed<SpiffeId> {
  const [trustDomain = "", ns, namespace = "", sa, account = "", ...rest] = text
    .slice(SCHEME.length)
    .split("/");
  const shape = text.startsWith(SCHEME) && ns === "ns" && sa === "sa" && rest.length === 0;
  if (!shape || ![trustDomain, namespace, account].every((s) => SEGMENT.test(s))) {
    return problem("", `"${text.slice(0, 128)}" is not spiffe://<trust domain>/ns/<namespace>/sa/<account>`);
  }
  return parsed(text as SpiffeId);
}

export function spiffeParts(id: SpiffeId): SpiffeParts {
  const [trustDomain = "", , namespace = "", , serviceAccount = ""] = id.slice(SCHEME.length).split("/");
  return { trustDomain, namespace, serviceAccount };
}

/** The form of `principals` in policies: without the scheme. */
export function spiffePrincipal(id: SpiffeId): string {
  return id.slice(SCHEME.length);
}
