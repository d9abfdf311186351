/** Pure. Text of policy rules to match values. Malformed entries give undefined: the caller reports and decides. */
import type { ServiceAccountMatch, StringMatch } from "#core/model/authorization.ts";
import { type Cidr, parseCidr } from "#core/net/cidr.ts";

/** `*` is presence, `*x` a suffix, `x*` a prefix, anything else exact. An empty text would match the anonymous. */
export function stringMatch(text: string): StringMatch | undefined {
  if (text === "") return undefined;
  if (text === "*") return { kind: "presence" };
  if (text.startsWith("*")) return { kind: "suffix", value: text.slice(1) };
  if (text.endsWith("*")) return { kind: "prefix", value: text.slice(0, -1) };
  return { kind: "exact", value: text };
}

export function portMatch(text: string): number | undefined {
  const port = /^\d{1,5}$/.test(text) ? Number(text) : 0;
  return port >= 1 && port <= 65_535 ? port : undefined;
}

export function ipBlockMatch(text: string): Cidr | undefined {
  const block = parseCidr(text);
  return block.ok ? block.value : undefined;
}

/** `namespace/account`, or `account` of the policy's namespace. */
export function serviceAccountMatch(text: string, policyNamespace: string): ServiceAccountMatch | undefined {
  const parts = text.split("/");
  const [first = "", second] = parts;
  if (parts.length > 2 || first === "" || second === "") return undefined;
  return second === undefined
    ? { namespace: policyNamespace, serviceAccount: first }
    : { namespace: first, serviceAccount: second };
}
