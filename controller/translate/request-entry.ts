/** Pure. `from`, `to` and `when` of an AuthorizationPolicy as a waypoint compares them. */
import { jsonObject, jsonText } from "#core/k8s/json-read.ts";
import type { MatchList, ServiceAccountMatch, StringMatch } from "#core/model/authorization.ts";
import type { ConditionMatch, OperationMatch, PathMatch, SourceMatch } from "#core/model/request-policy.ts";
import type { Cidr } from "#core/net/cidr.ts";
import { intersectBlocks } from "#core/net/cidr-intersection.ts";
import { type Convert, type Entry, EntryReader, type FieldPair, type RuleContext } from "./entry-reader.ts";
import { conditionKey } from "./l7-fields.ts";
import { ipBlockMatch, portMatch, serviceAccountMatch, stringMatch } from "./match-values.ts";
import { neverMatches, pathPattern, type RequestText } from "./path-pattern.ts";

const NOTHING: MatchList<never> = { any: [], none: [] };
const ANY_SOURCE: SourceMatch = {
  principals: NOTHING,
  namespaces: NOTHING,
  serviceAccounts: NOTHING,
  sourceIps: NOTHING,
};

/** In the place of one that cannot be read; never kept, because it is empty. */
const NO_CONDITION: ConditionMatch = { kind: "destination-port", values: NOTHING };

/** `x` and `notX`. */
function pair(any: string): FieldPair {
  return { any, none: `not${any.charAt(0).toUpperCase()}${any.slice(1)}` };
}
const VALUES = pair("values");

const text: Convert<StringMatch> = (value) => ({ value: stringMatch(value) });
const block: Convert<Cidr> = (value) => ({ value: ipBlockMatch(value) });
const port: Convert<number> = (value) => ({ value: portMatch(value) });
/** What may be empty, or never is: the empty text is compared as any other. */
function anyText(value: string): StringMatch {
  return stringMatch(value) ?? { kind: "exact", value };
}
const fieldValue: Convert<StringMatch> = (value) => ({ value: anyText(value) });
const account =
  (namespace: string): Convert<ServiceAccountMatch> =>
  (value) => ({ value: serviceAccountMatch(value, namespace) });

function requestText(dimension: RequestText): Convert<StringMatch> {
  return (value) => {
    const why = neverMatches(dimension, value);
    return { value: anyText(value), ...(why !== undefined && { why }) };
  };
}

const pathText: Convert<PathMatch> = (value) => {
  const pattern = pathPattern(value);
  if (pattern.kind === "malformed") return { value: undefined, why: pattern.why };
  const why = neverMatches("paths", value);
  return { value: pattern.match, ...(why !== undefined && { why }) };
};

export function sourceEntry(raw: unknown, path: string, context: RuleContext): Entry<SourceMatch> {
  const reader = readerOf(raw, "source", path, context);
  const direct = reader.connection(pair("ipBlocks"), block);
  const remote = reader.connection(pair("remoteIpBlocks"), block);
  const match: SourceMatch = {
    principals: reader.connection(pair("principals"), text),
    namespaces: reader.connection(pair("namespaces"), text),
    serviceAccounts: reader.connection(pair("serviceAccounts"), account(context.namespace)),
    sourceIps: inBoth(direct, remote, reader),
  };
  reader.unjudged("requestPrincipals");
  reader.unjudged("notRequestPrincipals");
  for (const field of ["trustDomains", "notTrustDomains"])
    reader.withoutEffect(field, "is not enforced; use principals instead");
  return reader.entry(match, Object.values(match));
}

export function operationEntry(raw: unknown, path: string, context: RuleContext): Entry<OperationMatch> {
  const reader = readerOf(raw, "operation", path, context);
  const match: OperationMatch = {
    hosts: reader.request(pair("hosts"), requestText("hosts")),
    methods: reader.request(pair("methods"), requestText("methods")),
    paths: reader.request(pair("paths"), pathText),
    ports: reader.connection(pair("ports"), port),
  };
  return reader.entry(match, Object.values(match));
}

/** The TCP peer must be in both lists; no header changes who that is. */
function inBoth(a: MatchList<Cidr>, b: MatchList<Cidr>, reader: EntryReader): MatchList<Cidr> {
  const none = [...a.none, ...b.none];
  if (a.any.length === 0 || b.any.length === 0) return { any: [...a.any, ...b.any], none };
  const any = intersectBlocks(a.any, b.any);
  if (any.length === 0) reader.nothingMeets();
  return { any, none };
}

function readerOf(raw: unknown, wrapper: string, path: string, context: RuleContext): EntryReader {
  const entry = jsonObject(raw);
  const reader = new EntryReader(jsonObject(entry[wrapper]), path, context);
  if (context.report.unknownFields(entry, new Set([wrapper]), path)) reader.spoilt();
  return reader;
}

export function conditionEntry(raw: unknown, path: string, context: RuleContext): Entry<ConditionMatch> {
  const { key, values, notValues, ...rest } = jsonObject(raw);
  const name = jsonText(key);
  const condition = conditionKey(name);
  const judged = condition.kind !== "unread" && condition.kind !== "unknown";
  const reader = new EntryReader(judged ? { values, notValues } : {}, path, context);
  if (context.report.unknownFields(rest, new Set(), path)) reader.spoilt();
  switch (condition.kind) {
    case "connection":
      return connectionCondition(name, reader);
    case "remote-ip":
      return sourceCondition(reader, "sourceIps", reader.connection(VALUES, block));
    case "header": {
      const values = reader.request(VALUES, fieldValue);
      return reader.entry({ kind: "header", name: condition.name, values }, [values]);
    }
    case "unread":
      reader.cannotJudge("key");
      return reader.entry(NO_CONDITION, []);
    case "unknown":
      context.report.unsupported(`${path}.key`, `"${name.slice(0, 80)}" is not known and has no effect`);
      reader.spoilt();
      return reader.entry(NO_CONDITION, []);
  }
}

function connectionCondition(name: string, reader: EntryReader): Entry<ConditionMatch> {
  switch (name) {
    case "source.namespace":
      return sourceCondition(reader, "namespaces", reader.connection(VALUES, text));
    case "source.principal":
      return sourceCondition(reader, "principals", reader.connection(VALUES, text));
    case "destination.ip": {
      const values = reader.connection(VALUES, block);
      return reader.entry({ kind: "destination-ip", values }, [values]);
    }
    case "destination.port": {
      const values = reader.connection(VALUES, port);
      return reader.entry({ kind: "destination-port", values }, [values]);
    }
    default:
      return sourceCondition(reader, "sourceIps", reader.connection(VALUES, block));
  }
}

function sourceCondition<K extends "namespaces" | "principals" | "sourceIps">(
  reader: EntryReader,
  field: K,
  values: SourceMatch[K],
): Entry<ConditionMatch> {
  return reader.entry({ kind: "source", match: { ...ANY_SOURCE, [field]: values } }, [values]);
}
