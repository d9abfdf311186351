/**
 * Pure. One rule of an AuthorizationPolicy to the L4 form. What L4 cannot see (methods, paths, hosts, request
 * identities) never weakens the result: an ALLOW rule with such a condition is dropped, a DENY rule keeps its L4
 * conditions alone and so covers more. A DENY rule in which nothing of L4 is left never fires. All of it is reported.
 */
import {
  type AuthorizationAction,
  type AuthorizationClause,
  type AuthorizationMatch,
  type AuthorizationRule,
  EMPTY_MATCH,
} from "#core/model/authorization.ts";
import { jsonList, jsonObject, jsonText } from "#core/k8s/json-read.ts";
import { ipBlockMatch, portMatch, serviceAccountMatch, stringMatch } from "./match-values.ts";
import type { Report } from "./policy-report.ts";

type Fields = Readonly<Record<string, unknown>>;
type Dimension = keyof AuthorizationMatch;

interface FieldTarget {
  readonly dimension: Dimension;
  readonly side: "any" | "none";
}

interface RuleInput {
  readonly action: AuthorizationAction;
  readonly namespace: string;
  readonly report: Report;
}

/** One entry of `from`, `to` or `when` in L4 terms. `incomplete`: it also had conditions that L4 cannot see. */
interface Entry {
  readonly match: AuthorizationMatch;
  readonly incomplete: boolean;
  /** A condition that nothing can meet, such as a list of malformed ports alone. */
  readonly impossible: boolean;
}

const NOTHING: Entry = { match: EMPTY_MATCH, incomplete: false, impossible: true };

const both = (field: string, not: string, dimension: Dimension): readonly [string, FieldTarget][] => [
  [field, { dimension, side: "any" }],
  [not, { dimension, side: "none" }],
];

const SOURCE_FIELDS: ReadonlyMap<string, FieldTarget> = new Map([
  ...both("principals", "notPrincipals", "principals"),
  ...both("namespaces", "notNamespaces", "namespaces"),
  ...both("serviceAccounts", "notServiceAccounts", "serviceAccounts"),
  ...both("ipBlocks", "notIpBlocks", "sourceIps"),
]);
const OPERATION_FIELDS: ReadonlyMap<string, FieldTarget> = new Map(
  both("ports", "notPorts", "destinationPorts"),
);
const CONDITION_DIMENSIONS: Readonly<Record<string, Dimension>> = {
  "source.ip": "sourceIps",
  "source.namespace": "namespaces",
  "source.principal": "principals",
  "destination.ip": "destinationIps",
  "destination.port": "destinationPorts",
};

const RULE_FIELDS: ReadonlySet<string> = new Set(["from", "to", "when"]);
const SOURCE_WRAPPER: ReadonlySet<string> = new Set(["source"]);
const OPERATION_WRAPPER: ReadonlySet<string> = new Set(["operation"]);

/** Undefined when the rule has no L4 form (see above). `{}` matches everything. */
export function translateRule(raw: unknown, path: string, input: RuleInput): AuthorizationRule | undefined {
  const rule = jsonObject(raw);
  const misspelt = input.report.unknownFields(rule, RULE_FIELDS, path);
  const groups: readonly (readonly Entry[])[] = [
    jsonList(rule["to"]).map((to, i) => operation(to, `${path}.to[${i}].operation`, input)),
    jsonList(rule["from"]).map((from, i) => source(from, `${path}.from[${i}].source`, input)),
    ...jsonList(rule["when"]).map((when, i) => [condition(when, `${path}.when[${i}]`, input)]),
  ].filter((group) => group.length > 0);
  if (input.action === "deny") return denyRule(groups);
  // A misspelt `from` must not turn a rule into "allow everyone".
  return misspelt ? undefined : allowRule(groups);
}

/** An entry that can be met only in part is no reason to allow: the whole rule goes. */
function allowRule(groups: readonly (readonly Entry[])[]): AuthorizationRule | undefined {
  if (groups.flat().some((entry) => entry.incomplete)) return undefined;
  const clauses = groups.map((group) =>
    group.filter((entry) => !entry.impossible).map((entry) => entry.match),
  );
  return clauses.some((matches) => matches.length === 0)
    ? undefined
    : { clauses: clauses.map((matches) => ({ matches })) };
}

/**
 * Conditions that cannot be seen are ignored. A group with an entry of nothing else is thereby always true and left out;
 * where that would leave no condition at all, the entries that can be seen stay: they alone are surely meant.
 */
function denyRule(groups: readonly (readonly Entry[])[]): AuthorizationRule | undefined {
  if (groups.length === 0) return { clauses: [] };
  const unseen = (entry: Entry): boolean => (entry.incomplete || entry.impossible) && isEmpty(entry.match);
  const firm = groups.filter((group) => !group.some(unseen));
  const kept = firm.length > 0 ? firm : groups.map((group) => group.filter((entry) => !unseen(entry)));
  const clauses: readonly AuthorizationClause[] = kept
    .filter((group) => group.length > 0)
    .map((group) => ({ matches: group.map((entry) => entry.match) }));
  return clauses.length === 0 ? undefined : { clauses };
}

function source(raw: unknown, path: string, input: RuleInput): Entry {
  const misspelt = input.report.unknownFields(jsonObject(raw), SOURCE_WRAPPER, path);
  const entry = entryOf(jsonObject(jsonObject(raw)["source"]), SOURCE_FIELDS, path, input);
  if (!misspelt && saysNothing(entry)) return emptyEntry(path, input);
  return misspelt ? { ...entry, incomplete: true } : entry;
}

function operation(raw: unknown, path: string, input: RuleInput): Entry {
  const misspelt = input.report.unknownFields(jsonObject(raw), OPERATION_WRAPPER, path);
  const entry = entryOf(jsonObject(jsonObject(raw)["operation"]), OPERATION_FIELDS, path, input);
  if (!misspelt && saysNothing(entry)) return emptyEntry(path, input);
  return misspelt ? { ...entry, incomplete: true } : entry;
}

const EMPTY_NOTE: Readonly<Record<AuthorizationAction, string>> = {
  allow: "allows nothing",
  deny: "is ignored; the rest of the rule denies",
};

/** No field in it has a value: ztunnels skip such an entry, so it must not look as if it said something. */
function saysNothing({ match, incomplete, impossible }: Entry): boolean {
  return !incomplete && !impossible && isEmpty(match);
}

function emptyEntry(path: string, input: RuleInput): Entry {
  input.report.invalid(path, `is empty and ${EMPTY_NOTE[input.action]}`);
  return NOTHING;
}

function condition(raw: unknown, path: string, input: RuleInput): Entry {
  const { key, values, notValues, ...rest } = jsonObject(raw);
  const misspelt = input.report.unknownFields(rest, new Set(), path);
  const name = jsonText(key);
  const dimension = Object.hasOwn(CONDITION_DIMENSIONS, name) ? CONDITION_DIMENSIONS[name] : undefined;
  if (dimension === undefined) {
    input.report.unsupported(`${path}.key`, `"${name}" ${L7_NOTE[input.action]}`);
    return { match: EMPTY_MATCH, incomplete: true, impossible: false };
  }
  if (jsonList(values).length + jsonList(notValues).length === 0) {
    input.report.invalid(path, `has neither values nor notValues and ${EMPTY_NOTE[input.action]}`);
    return NOTHING;
  }
  const fields = { ...(values !== undefined && { values }), ...(notValues !== undefined && { notValues }) };
  const entry = entryOf(fields, new Map(both("values", "notValues", dimension)), path, input);
  return misspelt ? { ...entry, incomplete: true } : entry;
}

/** Source fields that concern certificates, which no waypoint would change. */
const NOT_ENFORCED: ReadonlySet<string> = new Set(["trustDomains", "notTrustDomains"]);

const L7_NOTE: Readonly<Record<AuthorizationAction, string>> = {
  allow: "needs a waypoint; without one the rule allows nothing",
  deny: "needs a waypoint; without one the condition is ignored, or the rule if nothing else is in it",
};

function entryOf(
  fields: Fields,
  known: ReadonlyMap<string, FieldTarget>,
  path: string,
  input: RuleInput,
): Entry {
  let match = EMPTY_MATCH;
  let incomplete = false;
  let impossible = false;
  for (const [field, raw] of Object.entries(fields)) {
    const entries = jsonList(raw);
    if (entries.length === 0) continue;
    const target = known.get(field);
    if (target === undefined) {
      const note = NOT_ENFORCED.has(field)
        ? "is not enforced; use principals instead"
        : L7_NOTE[input.action];
      input.report.unsupported(`${path}.${field}`, note);
      incomplete = true;
      continue;
    }
    const values = convertAll(entries, target, `${path}.${field}`, input);
    if (values.length === 0 && target.side === "any") impossible = true;
    // An exclusion that cannot be read was to keep somebody out: an ALLOW rule without it would let them in.
    if (values.length < entries.length && target.side === "none") incomplete = true;
    match = withValues(match, target, values);
  }
  return { match, incomplete, impossible };
}

const EXCLUSION_NOTE: Readonly<Record<AuthorizationAction, string>> = {
  allow: "would exclude nobody; the rule allows nothing",
  deny: "excludes nobody; the rule denies the more",
};

/** Entries as match values. A malformed one is reported and left out: it could match nothing. */
function convertAll(
  entries: readonly unknown[],
  { dimension, side }: FieldTarget,
  path: string,
  input: RuleInput,
): readonly unknown[] {
  return entries.flatMap((entry, i) => {
    const value = convert(jsonText(entry), dimension, input.namespace);
    if (value !== undefined) return [value];
    input.report.invalid(
      `${path}[${i}]`,
      `"${jsonText(entry).slice(0, 80)}" is malformed and ${side === "none" ? EXCLUSION_NOTE[input.action] : "matches nothing"}`,
    );
    return [];
  });
}

function convert(text: string, dimension: Dimension, namespace: string): unknown {
  switch (dimension) {
    case "namespaces":
    case "principals":
      return stringMatch(text);
    case "serviceAccounts":
      return serviceAccountMatch(text, namespace);
    case "destinationPorts":
      return portMatch(text);
    case "sourceIps":
    case "destinationIps":
      return ipBlockMatch(text);
  }
}

function withValues(
  match: AuthorizationMatch,
  target: FieldTarget,
  values: readonly unknown[],
): AuthorizationMatch {
  const list = match[target.dimension];
  return { ...match, [target.dimension]: { ...list, [target.side]: values } };
}

function isEmpty(match: AuthorizationMatch): boolean {
  return Object.values(match).every(
    (list: AuthorizationMatch[Dimension]) => list.any.length + list.none.length === 0,
  );
}
