/**
 * Pure. istio.security.Authorization. Stricter than Istio's ztunnel in one point: a malformed entry of a match list
 * rejects the policy instead of being dropped, because an emptied positive list would match everything.
 */
import type { Parsed } from "../base/parse-result.ts";
import type {
  Authorization,
  AuthorizationAction,
  AuthorizationClause,
  AuthorizationMatch,
  AuthorizationRule,
  AuthorizationScope,
  ServiceAccountMatch,
  StringMatch,
} from "../model/authorization.ts";
import type { Cidr } from "../net/cidr.ts";
import { ipToBytes } from "../net/ip.ts";
import { cidrFromWire, portFromWire } from "./network-codec.ts";
import {
  append,
  type FieldReaders,
  MAX_RESOURCE_BYTES,
  parseMessage,
  type ProtoReader,
  readFields,
  WireError,
} from "./proto-reader.ts";
import { ProtoWriter } from "./proto-writer.ts";
import { wireEnum } from "./wire-enum.ts";

const SCOPE = wireEnum<AuthorizationScope>("scope", ["global", "namespace", "workload-selector"]);
const ACTION = wireEnum<AuthorizationAction>("action", ["allow", "deny"]);
const MATCH_KINDS: Readonly<Record<number, "exact" | "prefix" | "suffix">> = {
  1: "exact",
  2: "prefix",
  3: "suffix",
};

const scratch = new ProtoWriter(16 * 1024);

/** Deterministic: equal values give equal bytes. */
export function encodeAuthorization(policy: Authorization): Uint8Array {
  scratch.reset();
  scratch.bool(6, policy.dryRun);
  for (const rule of [...policy.rules].reverse()) writeRule(rule);
  scratch.uint(4, ACTION.encode(policy.action));
  scratch.uint(3, SCOPE.encode(policy.scope));
  scratch.string(2, policy.namespace);
  scratch.string(1, policy.name);
  return scratch.finish();
}

function writeRule(rule: AuthorizationRule): void {
  const mark = scratch.mark();
  for (const clause of [...rule.clauses].reverse()) {
    const inner = scratch.mark();
    for (const match of [...clause.matches].reverse()) writeMatch(match);
    scratch.message(1, inner);
  }
  scratch.message(5, mark);
}

function writeMatch(match: AuthorizationMatch): void {
  const mark = scratch.mark();
  writeEach(match.serviceAccounts.none, 12, writeServiceAccount);
  writeEach(match.serviceAccounts.any, 11, writeServiceAccount);
  scratch.packedUints(10, match.destinationPorts.none);
  scratch.packedUints(9, match.destinationPorts.any);
  writeEach(match.destinationIps.none, 8, writeBlock);
  writeEach(match.destinationIps.any, 7, writeBlock);
  writeEach(match.sourceIps.none, 6, writeBlock);
  writeEach(match.sourceIps.any, 5, writeBlock);
  writeEach(match.principals.none, 4, writeStringMatch);
  writeEach(match.principals.any, 3, writeStringMatch);
  writeEach(match.namespaces.none, 2, writeStringMatch);
  writeEach(match.namespaces.any, 1, writeStringMatch);
  scratch.message(2, mark);
}

function writeEach<T>(items: readonly T[], field: number, write: (item: T) => void): void {
  for (const item of [...items].reverse()) {
    const mark = scratch.mark();
    write(item);
    scratch.message(field, mark);
  }
}

function writeServiceAccount(match: ServiceAccountMatch): void {
  scratch.string(2, match.serviceAccount);
  scratch.string(1, match.namespace);
}

function writeBlock(block: Cidr): void {
  scratch.uint(2, block.prefixLength);
  scratch.bytes(1, ipToBytes(block.address));
}

function writeStringMatch(match: StringMatch): void {
  if (match.kind === "presence") {
    scratch.message(4, scratch.mark());
    return;
  }
  scratch.stringElement({ exact: 1, prefix: 2, suffix: 3 }[match.kind], match.value);
}

export function decodeAuthorization(bytes: Uint8Array): Parsed<Authorization> {
  return parseMessage(bytes, MAX_RESOURCE_BYTES, readAuthorization);
}

function readAuthorization(reader: ProtoReader): Authorization {
  const draft = {
    name: "",
    namespace: "",
    scope: "global" as AuthorizationScope,
    action: "allow" as AuthorizationAction,
    rules: [] as AuthorizationRule[],
    dryRun: false,
  };
  readFields(
    reader,
    {
      1: (d, r) => (d.name = r.string()),
      2: (d, r) => (d.namespace = r.string()),
      3: (d, r) => (d.scope = SCOPE.decode(r.uint32())),
      4: (d, r) => (d.action = ACTION.decode(r.uint32())),
      5: (d, r) => append(d.rules, readRule(r.message())),
      6: (d, r) => (d.dryRun = r.bool()),
    },
    draft,
  );
  if (draft.name === "") throw new WireError("name", "is empty");
  return draft;
}

function readRule(reader: ProtoReader): AuthorizationRule {
  const clauses: AuthorizationClause[] = [];
  readFields(reader, { 1: (list, r) => append(list, readClause(r.message())) }, clauses);
  return { clauses };
}

function readClause(reader: ProtoReader): AuthorizationClause {
  const matches: AuthorizationMatch[] = [];
  readFields(reader, { 2: (list, r) => append(list, readMatch(r.message())) }, matches);
  return { matches };
}

function emptyMatch(): MatchDraft {
  return {
    namespaces: { any: [], none: [] },
    principals: { any: [], none: [] },
    serviceAccounts: { any: [], none: [] },
    sourceIps: { any: [], none: [] },
    destinationIps: { any: [], none: [] },
    destinationPorts: { any: [], none: [] },
  };
}

type MatchDraft = {
  readonly [K in keyof AuthorizationMatch]: {
    readonly any: AuthorizationMatch[K]["any"][number][];
    readonly none: AuthorizationMatch[K]["none"][number][];
  };
};

const MATCH_FIELDS: FieldReaders<MatchDraft> = {
  1: (d, r) => append(d.namespaces.any, readStringMatch("namespaces", r.message())),
  2: (d, r) => append(d.namespaces.none, readStringMatch("not_namespaces", r.message())),
  3: (d, r) => append(d.principals.any, readStringMatch("principals", r.message())),
  4: (d, r) => append(d.principals.none, readStringMatch("not_principals", r.message())),
  5: (d, r) => append(d.sourceIps.any, readBlock("source_ips", r.message())),
  6: (d, r) => append(d.sourceIps.none, readBlock("not_source_ips", r.message())),
  7: (d, r) => append(d.destinationIps.any, readBlock("destination_ips", r.message())),
  8: (d, r) => append(d.destinationIps.none, readBlock("not_destination_ips", r.message())),
  9: (d, r) => r.uint32s(d.destinationPorts.any),
  10: (d, r) => r.uint32s(d.destinationPorts.none),
  11: (d, r) => append(d.serviceAccounts.any, readServiceAccount(r.message())),
  12: (d, r) => append(d.serviceAccounts.none, readServiceAccount(r.message())),
};

function readMatch(reader: ProtoReader): AuthorizationMatch {
  const match = readFields(reader, MATCH_FIELDS, emptyMatch());
  for (const port of match.destinationPorts.any) portFromWire("destination_ports", port);
  for (const port of match.destinationPorts.none) portFromWire("not_destination_ports", port);
  return match;
}

function readStringMatch(path: string, reader: ProtoReader): StringMatch {
  let match: StringMatch | undefined;
  for (let field = reader.next(); field !== 0; field = reader.next()) {
    const kind = MATCH_KINDS[field];
    if (kind !== undefined) match = { kind, value: reader.string() };
    else if (field === 4) match = readPresence(reader);
    else reader.skip();
  }
  if (match === undefined) throw new WireError(path, "has an entry without a match");
  return match;
}

function readPresence(reader: ProtoReader): StringMatch {
  readFields(reader.message(), {}, {});
  return { kind: "presence" };
}

function readBlock(path: string, reader: ProtoReader): Cidr {
  const draft = { address: new Uint8Array(0) as Uint8Array, length: 0 };
  readFields(reader, { 1: (d, r) => (d.address = r.bytes(16)), 2: (d, r) => (d.length = r.uint32()) }, draft);
  return cidrFromWire(path, draft.address, draft.length);
}

function readServiceAccount(reader: ProtoReader): ServiceAccountMatch {
  return readFields(
    reader,
    { 1: (d, r) => (d.namespace = r.string()), 2: (d, r) => (d.serviceAccount = r.string()) },
    { namespace: "", serviceAccount: "" },
  );
}
