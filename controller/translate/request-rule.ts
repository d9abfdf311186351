/**
 * Pure. One rule of an AuthorizationPolicy as a waypoint judges requests by it. What cannot be judged never lets anybody in: an ALLOW rule with it
 * is dropped, a DENY rule denies as if it were met, and an AUDIT rule notes. What ztunnels leave out of rules about connections is left out in the same way, so that a
 * policy about connections alone means the same at a waypoint.
 */
import { jsonList, jsonObject } from "#core/k8s/json-read.ts";
import type { RequestRule } from "#core/model/request-policy.ts";
import type { Entry, RuleContext } from "./entry-reader.ts";
import { conditionEntry, operationEntry, sourceEntry } from "./request-entry.ts";

type Group = readonly Entry<unknown>[];

const RULE_FIELDS: ReadonlySet<string> = new Set(["from", "to", "when"]);

/** Undefined when the rule allows nothing, or denies nothing. `{}` matches everything. */
export function translateRequestRule(
  raw: unknown,
  path: string,
  context: RuleContext,
): RequestRule | undefined {
  const rule = jsonObject(raw);
  const misspelt = context.report.unknownFields(rule, RULE_FIELDS, path);
  const to = jsonList(rule["to"]).map((entry, i) =>
    operationEntry(entry, `${path}.to[${i}].operation`, context),
  );
  const from = jsonList(rule["from"]).map((entry, i) =>
    sourceEntry(entry, `${path}.from[${i}].source`, context),
  );
  const when = jsonList(rule["when"]).map((entry, i) => conditionEntry(entry, `${path}.when[${i}]`, context));
  const groups = [to, from, ...when.map((entry) => [entry])].filter((group) => group.length > 0);
  // A misspelt `from` must not turn a rule into "allow everyone".
  if (misspelt && context.action === "allow") return undefined;
  const kept = context.action === "allow" ? allowEntries(groups) : denyEntries(groups);
  return kept && { from: matches(from, kept), to: matches(to, kept), when: matches(when, kept) };
}

function matches<M>(entries: readonly Entry<M>[], kept: ReadonlySet<Entry<unknown>>): readonly M[] {
  return entries.filter((entry) => kept.has(entry)).map(({ match }) => match);
}

/** An entry that can be met only in part is no reason to allow: the whole rule goes. */
function allowEntries(groups: readonly Group[]): ReadonlySet<Entry<unknown>> | undefined {
  if (groups.flat().some(({ blind, incomplete }) => blind || incomplete)) return undefined;
  const possible = groups.map((group) => group.filter(({ impossible }) => !impossible));
  return possible.some((group) => group.length === 0) ? undefined : new Set(possible.flat());
}

/**
 * A group with an entry that counts as met holds. Conditions without effect are ignored: a group with an entry of nothing else is thereby always
 * true and left out; where that would leave no condition at all, the entries that do say something stay: they alone are surely meant.
 */
function denyEntries(groups: readonly Group[]): ReadonlySet<Entry<unknown>> | undefined {
  const open = groups.filter((group) => !group.some(({ blind, empty }) => blind && empty));
  if (open.length === 0) return new Set();
  const firm = open.filter((group) => !group.some(saysNothing));
  const kept = (firm.length > 0 ? firm : open).flat().filter((entry) => !saysNothing(entry));
  return kept.length === 0 && open.length === groups.length ? undefined : new Set(kept);
}

function saysNothing({ incomplete, impossible, empty }: Entry<unknown>): boolean {
  return (incomplete || impossible) && empty;
}
