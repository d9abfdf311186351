/**
 * Pure. Request policies inside a waypoint's configuration. Stricter than the other codecs: what it does not know, and an entry that says nothing,
 * reject the resource, because a condition that is skipped makes an ALLOW rule wider.
 */
import type { MatchList, ServiceAccountMatch, StringMatch } from "../model/authorization.ts";
import type { PolicyKey } from "../model/ids.ts";
import type {
  ConditionMatch,
  OperationMatch,
  PathMatch,
  RequestPolicy,
  RequestRule,
  SourceMatch,
} from "../model/request-policy.ts";
import type { Cidr } from "../net/cidr.ts";
import {
  emptyList,
  type OpenList,
  readBlock,
  readKnown,
  readOne,
  readPath,
  readPorts,
  readServiceAccount,
  readText,
  saying,
  writeBlock,
  writeEach,
  writeList,
  writePath,
  writePorts,
  writeServiceAccount,
  writeText,
} from "./match-codec.ts";
import { append, type FieldReaders, type ProtoReader, WireError } from "./proto-reader.ts";
import type { ProtoWriter } from "./proto-writer.ts";
import { wireEnum } from "./wire-enum.ts";

/** As many as a policy can have at admission, and more. */
const MAX_RULES = 16_384;
const ACTION = wireEnum<RequestPolicy["action"]>("action", ["allow", "deny", "audit"]);

/** Writes the fields of the message, without its tag and length. */
export function writeRequestPolicy(writer: ProtoWriter, policy: RequestPolicy): void {
  writeEach(writer, 4, policy.rules, writeRule);
  writer.bool(3, policy.dryRun);
  writer.uint(2, ACTION.encode(policy.action));
  writer.string(1, policy.key);
}

/** The number is written plus one: zero is "its place". */
function writeRule(writer: ProtoWriter, rule: RequestRule): void {
  if (rule.index !== undefined) writer.uint(4, rule.index + 1);
  writeEach(writer, 3, rule.when, writeCondition);
  writeEach(writer, 2, rule.to, writeOperation);
  writeEach(writer, 1, rule.from, writeSource);
}

function writeSource(writer: ProtoWriter, match: SourceMatch): void {
  writeList(writer, 7, match.sourceIps, writeBlock);
  writeList(writer, 5, match.serviceAccounts, writeServiceAccount);
  writeList(writer, 3, match.namespaces, writeText);
  writeList(writer, 1, match.principals, writeText);
}

function writeOperation(writer: ProtoWriter, match: OperationMatch): void {
  writePorts(writer, 7, match.ports);
  writeList(writer, 5, match.paths, writePath);
  writeList(writer, 3, match.methods, writeText);
  writeList(writer, 1, match.hosts, writeText);
}

function writeCondition(writer: ProtoWriter, condition: ConditionMatch): void {
  const mark = writer.mark();
  switch (condition.kind) {
    case "source":
      writeSource(writer, condition.match);
      writer.message(1, mark);
      return;
    case "destination-ip":
      writeList(writer, 1, condition.values, writeBlock);
      writer.message(2, mark);
      return;
    case "destination-port":
      writePorts(writer, 1, condition.values);
      writer.message(3, mark);
      return;
    case "header":
      writeList(writer, 2, condition.values, writeText);
      writer.string(1, condition.name);
      writer.message(4, mark);
  }
}

export function readRequestPolicy(reader: ProtoReader): RequestPolicy {
  const draft = {
    key: "" as PolicyKey,
    action: "allow" as RequestPolicy["action"],
    dryRun: false,
    rules: [] as RequestRule[],
  };
  readKnown("policies", reader, POLICY_FIELDS, draft);
  if (draft.key === "") throw new WireError("policies", "has a policy without a key");
  return draft;
}

type Open<T> = { -readonly [K in keyof T]: T[K] extends readonly (infer E)[] ? E[] : T[K] };
type SourceDraft = { readonly [K in keyof SourceMatch]: OpenList<SourceMatch[K]["any"][number]> };
type OperationDraft = { readonly [K in keyof OperationMatch]: OpenList<OperationMatch[K]["any"][number]> };

const POLICY_FIELDS: FieldReaders<Open<RequestPolicy>> = {
  1: (d, r) => (d.key = r.string() as PolicyKey),
  2: (d, r) => (d.action = ACTION.decode(r.uint32())),
  3: (d, r) => (d.dryRun = r.bool()),
  4: (d, r) => append(d.rules, readKnown("rules", r.message(), RULE_FIELDS, { from: [], to: [], when: [] })),
};

const RULE_FIELDS: FieldReaders<Open<RequestRule>> = {
  1: (d, r) => append(d.from, readSource(r.message())),
  2: (d, r) => append(d.to, readOperation(r.message())),
  3: (d, r) => append(d.when, readCondition(r.message())),
  4: (d, r) => (d.index = readNumber(r.uint32())),
};

function readNumber(number: number): number {
  if (number === 0 || number > MAX_RULES) throw new WireError("rules", `has the invalid number ${number}`);
  return number - 1;
}

const SOURCE_FIELDS: FieldReaders<SourceDraft> = {
  1: (d, r) => append(d.principals.any, readText("principals", r.message())),
  2: (d, r) => append(d.principals.none, readText("not_principals", r.message())),
  3: (d, r) => append(d.namespaces.any, readText("namespaces", r.message())),
  4: (d, r) => append(d.namespaces.none, readText("not_namespaces", r.message())),
  5: (d, r) => append(d.serviceAccounts.any, readServiceAccount(r.message())),
  6: (d, r) => append(d.serviceAccounts.none, readServiceAccount(r.message())),
  7: (d, r) => append(d.sourceIps.any, readBlock("source_ips", r.message())),
  8: (d, r) => append(d.sourceIps.none, readBlock("not_source_ips", r.message())),
};

function readSource(reader: ProtoReader): SourceMatch {
  const draft = {
    principals: emptyList<StringMatch>(),
    namespaces: emptyList<StringMatch>(),
    serviceAccounts: emptyList<ServiceAccountMatch>(),
    sourceIps: emptyList<Cidr>(),
  };
  return saying("source", readKnown("source", reader, SOURCE_FIELDS, draft));
}

const OPERATION_FIELDS: FieldReaders<OperationDraft> = {
  1: (d, r) => append(d.hosts.any, readText("hosts", r.message())),
  2: (d, r) => append(d.hosts.none, readText("not_hosts", r.message())),
  3: (d, r) => append(d.methods.any, readText("methods", r.message())),
  4: (d, r) => append(d.methods.none, readText("not_methods", r.message())),
  5: (d, r) => append(d.paths.any, readPath("paths", r.message())),
  6: (d, r) => append(d.paths.none, readPath("not_paths", r.message())),
  7: (d, r) => readPorts("ports", r, d.ports.any),
  8: (d, r) => readPorts("not_ports", r, d.ports.none),
};

function readOperation(reader: ProtoReader): OperationMatch {
  const draft = {
    hosts: emptyList<StringMatch>(),
    methods: emptyList<StringMatch>(),
    paths: emptyList<PathMatch>(),
    ports: emptyList<number>(),
  };
  return saying("operation", readKnown("operation", reader, OPERATION_FIELDS, draft));
}

function readCondition(reader: ProtoReader): ConditionMatch {
  return readOne<ConditionMatch>("when", reader, {
    1: (r) => ({ kind: "source", match: readSource(r.message()) }),
    2: (r) => ({ kind: "destination-ip", values: readBlocks(r.message()) }),
    3: (r) => ({ kind: "destination-port", values: readPortList(r.message()) }),
    4: (r) => readHeader(r.message()),
  });
}

function readBlocks(reader: ProtoReader): MatchList<Cidr> {
  const fields: FieldReaders<OpenList<Cidr>> = {
    1: (d, r) => append(d.any, readBlock("destination_ip", r.message())),
    2: (d, r) => append(d.none, readBlock("destination_ip", r.message())),
  };
  const values = readKnown("destination_ip", reader, fields, emptyList<Cidr>());
  return saying("destination_ip", { values }).values;
}

function readPortList(reader: ProtoReader): MatchList<number> {
  const fields: FieldReaders<OpenList<number>> = {
    1: (d, r) => readPorts("destination_port", r, d.any),
    2: (d, r) => readPorts("destination_port", r, d.none),
  };
  const values = readKnown("destination_port", reader, fields, emptyList<number>());
  return saying("destination_port", { values }).values;
}

function readHeader(reader: ProtoReader): ConditionMatch {
  const draft = { name: "", values: emptyList<StringMatch>() };
  const fields: FieldReaders<typeof draft> = {
    1: (d, r) => (d.name = r.string()),
    2: (d, r) => append(d.values.any, readText("header", r.message())),
    3: (d, r) => append(d.values.none, readText("header", r.message())),
  };
  const { name, values } = readKnown("header", reader, fields, draft);
  if (name === "" || name !== name.toLowerCase())
    throw new WireError("header", "has a name that is empty or not in lower case");
  saying("header", { values });
  return { kind: "header", name, values };
}
