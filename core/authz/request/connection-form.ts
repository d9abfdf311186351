/**
 * Pure. What is left of a policy for a connection that is not HTTP, as ztunnels have it: an ALLOW rule that asks for anything of HTTP allows
 * nothing; a DENY rule keeps the rest of its conditions and so covers more; one of HTTP conditions alone does not apply. AUDIT is read as DENY.
 */
import type { MatchList } from "../../model/authorization.ts";
import type {
  ConditionMatch,
  OperationMatch,
  RequestPolicy,
  RequestRule,
} from "../../model/request-policy.ts";
import type { IndexedRule } from "./compile-policy.ts";

export interface ConnectionForm {
  readonly rules: readonly IndexedRule[];
  /** The first rule that denies by HTTP alone, in all or some of its entries: whoever speaks HTTP where it is not declared is refused by it. */
  readonly httpOnlyDeny: number | undefined;
}

/** Each with the number by which people know it. */
export function numbered(rules: readonly RequestRule[]): readonly IndexedRule[] {
  return rules.map((rule, place) => ({ index: rule.index ?? place, rule }));
}

const NOTHING: MatchList<never> = { any: [], none: [] };

export function connectionForm({ action, rules }: RequestPolicy): ConnectionForm {
  const indexed = numbered(rules);
  if (action === "allow")
    return { rules: indexed.filter(({ rule }) => !asksForHttp(rule)), httpOnlyDeny: undefined };
  const left: IndexedRule[] = [];
  let httpOnlyDeny: number | undefined;
  for (const { index, rule } of indexed) {
    const { kept, lost } = asksForHttp(rule) ? denyRule(rule) : { kept: rule, lost: false };
    if (lost) httpOnlyDeny ??= index;
    if (kept !== undefined) left.push({ index, rule: kept });
  }
  return { rules: left, httpOnlyDeny };
}

function asksForHttp({ to, when }: RequestRule): boolean {
  return to.some(hasHttp) || when.some(isHeader);
}

/**
 * Without its HTTP conditions. Entries of nothing else would always hold, and so would their group: it is left out. If that leaves nothing, the
 * entries that speak of the connection stay, for they alone are surely meant; the others are lost.
 */
function denyRule({ from, to, when }: RequestRule): {
  readonly kept: RequestRule | undefined;
  readonly lost: boolean;
} {
  const others = when.filter((condition) => !isHeader(condition));
  const firmTo = to.some(onlyHttp) ? [] : to.map(withoutHttp);
  if (from.length > 0 || others.length > 0 || firmTo.length > 0)
    return { kept: { from, to: firmTo, when: others }, lost: false };
  const seen = to.filter((operation) => !onlyHttp(operation)).map(withoutHttp);
  return { kept: seen.length === 0 ? undefined : { from, to: seen, when: others }, lost: true };
}

function isHeader(condition: ConditionMatch): boolean {
  return condition.kind === "header";
}

function hasHttp({ hosts, methods, paths }: OperationMatch): boolean {
  return asked(hosts) || asked(methods) || asked(paths);
}

function onlyHttp(operation: OperationMatch): boolean {
  return hasHttp(operation) && !asked(operation.ports);
}

function withoutHttp({ ports }: OperationMatch): OperationMatch {
  return { hosts: NOTHING, methods: NOTHING, paths: NOTHING, ports };
}

function asked({ any, none }: MatchList<unknown>): boolean {
  return any.length > 0 || none.length > 0;
}
