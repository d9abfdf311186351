/**
 * Pure. The values that request policies compare with, and strict reading of messages: a field that is not known is an error, a oneof has
 * exactly one value.
 */
import { templateProblem } from "../authz/request/path-template.ts";
import type { MatchList, ServiceAccountMatch, StringMatch } from "../model/authorization.ts";
import type { PathMatch, PathSegment } from "../model/request-policy.ts";
import type { Cidr } from "../net/cidr.ts";
import { ipToBytes } from "../net/ip.ts";
import { cidrFromWire, portFromWire } from "./network-codec.ts";
import { append, type FieldReaders, type ProtoReader, WireError } from "./proto-reader.ts";
import type { ProtoWriter } from "./proto-writer.ts";

const TEXT_FIELDS = { exact: 1, prefix: 2, suffix: 3 } as const;

type Write<T> = (writer: ProtoWriter, item: T) => void;
export type OpenList<T> = { readonly any: T[]; readonly none: T[] };

export function writeEach<T>(writer: ProtoWriter, field: number, items: readonly T[], write: Write<T>): void {
  for (let i = items.length - 1; i >= 0; i--) {
    const mark = writer.mark();
    write(writer, items[i] as T);
    writer.message(field, mark);
  }
}

export function writeList<T>(writer: ProtoWriter, field: number, list: MatchList<T>, write: Write<T>): void {
  writeEach(writer, field + 1, list.none, write);
  writeEach(writer, field, list.any, write);
}

export function writePorts(writer: ProtoWriter, field: number, list: MatchList<number>): void {
  writer.packedUints(field + 1, list.none);
  writer.packedUints(field, list.any);
}

export function writePath(writer: ProtoWriter, match: PathMatch): void {
  if (match.kind !== "template") {
    writeText(writer, match);
    return;
  }
  const mark = writer.mark();
  writeEach(writer, 1, match.segments, writeSegment);
  writer.message(5, mark);
}

function writeSegment(writer: ProtoWriter, segment: PathSegment): void {
  if (segment.kind === "literal") writer.stringElement(1, segment.text);
  else writer.message(segment.kind === "one" ? 2 : 3, writer.mark());
}

export function writeText(writer: ProtoWriter, match: StringMatch): void {
  if (match.kind === "presence") writer.message(4, writer.mark());
  else writer.stringElement(TEXT_FIELDS[match.kind], match.value);
}

export function writeServiceAccount(writer: ProtoWriter, match: ServiceAccountMatch): void {
  writer.string(2, match.serviceAccount);
  writer.string(1, match.namespace);
}

export function writeBlock(writer: ProtoWriter, block: Cidr): void {
  writer.uint(2, block.prefixLength);
  writer.bytes(1, ipToBytes(block.address));
}

const TEXT_READERS = {
  1: (r: ProtoReader): StringMatch => ({ kind: "exact", value: r.string() }),
  2: (r: ProtoReader): StringMatch => ({ kind: "prefix", value: r.string() }),
  3: (r: ProtoReader): StringMatch => ({ kind: "suffix", value: r.string() }),
  4: (r: ProtoReader): StringMatch => nothingIn(r, { kind: "presence" }),
};

export function readText(path: string, reader: ProtoReader): StringMatch {
  return readOne<StringMatch>(path, reader, TEXT_READERS);
}

export function readPath(path: string, reader: ProtoReader): PathMatch {
  return readOne<PathMatch>(path, reader, { ...TEXT_READERS, 5: (r) => readTemplate(path, r.message()) });
}

function readTemplate(path: string, reader: ProtoReader): PathMatch {
  const fields: FieldReaders<PathSegment[]> = {
    1: (list, r) => append(list, readSegment(path, r.message())),
  };
  const segments = readKnown(path, reader, fields, []);
  const wrong = templateProblem(segments);
  if (wrong !== undefined) throw new WireError(path, wrong);
  return { kind: "template", segments };
}

function readSegment(path: string, reader: ProtoReader): PathSegment {
  return readOne<PathSegment>(path, reader, {
    1: (r) => ({ kind: "literal", text: r.string() }),
    2: (r) => nothingIn(r, { kind: "one" }),
    3: (r) => nothingIn(r, { kind: "rest" }),
  });
}

export function readPorts(path: string, reader: ProtoReader, into: number[]): void {
  let known = into.length;
  reader.uint32s(into);
  for (; known < into.length; known++) portFromWire(path, into[known] ?? 0);
}

export function readServiceAccount(reader: ProtoReader): ServiceAccountMatch {
  const draft = { namespace: "", serviceAccount: "" };
  const fields: FieldReaders<typeof draft> = {
    1: (d, r) => (d.namespace = r.string()),
    2: (d, r) => (d.serviceAccount = r.string()),
  };
  readKnown("service_accounts", reader, fields, draft);
  if (draft.namespace === "" || draft.serviceAccount === "")
    throw new WireError("service_accounts", "has an entry without namespace or account");
  return draft;
}

export function readBlock(path: string, reader: ProtoReader): Cidr {
  const draft = { address: new Uint8Array(0) as Uint8Array, length: 0 };
  const fields: FieldReaders<typeof draft> = {
    1: (d, r) => (d.address = r.bytes(16)),
    2: (d, r) => (d.length = r.uint32()),
  };
  readKnown(path, reader, fields, draft);
  return cidrFromWire(path, draft.address, draft.length);
}

export function emptyList<T>(): OpenList<T> {
  return { any: [], none: [] };
}

/** An entry must say something. */
export function saying<T extends object>(path: string, match: T): T {
  const lists: readonly MatchList<unknown>[] = Object.values(match);
  if (lists.every(({ any, none }) => any.length + none.length === 0))
    throw new WireError(path, "has an entry without a condition");
  return match;
}

/** As `readFields`, but a field that is not known is an error. */
export function readKnown<D>(path: string, reader: ProtoReader, fields: FieldReaders<D>, draft: D): D {
  for (let field = reader.next(); field !== 0; field = reader.next()) {
    const read = fields[field];
    if (read === undefined) throw new WireError(path, `has the unknown field ${field}`);
    read(draft, reader);
  }
  return draft;
}

/** Exactly one field of a oneof. */
export function readOne<T>(
  path: string,
  reader: ProtoReader,
  fields: { readonly [field: number]: (reader: ProtoReader) => T },
): T {
  let value: T | undefined;
  for (let field = reader.next(); field !== 0; field = reader.next()) {
    const read = fields[field];
    if (read === undefined) throw new WireError(path, `has the unknown field ${field}`);
    if (value !== undefined) throw new WireError(path, "has an entry with two values");
    value = read(reader);
  }
  if (value === undefined) throw new WireError(path, "has an entry without a value");
  return value;
}

function nothingIn<T>(reader: ProtoReader, value: T): T {
  readKnown("", reader.message(), {}, undefined);
  return value;
}
