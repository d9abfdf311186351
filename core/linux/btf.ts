/**
 * Pure. As much of the BPF Type Format as map definitions need (Documentation/bpf/btf.rst): a map is a struct variable
 * in section `.maps` whose numbers are written as array lengths, and key and value as pointers to types.
 */
import { type Parsed, parsed, problem } from "../base/parse-result.ts";
import { cString } from "./elf.ts";

export interface MapDefinition {
  readonly name: string;
  readonly type: number;
  readonly keySize: number;
  readonly valueSize: number;
  readonly maxEntries: number;
  readonly flags: number;
}

interface Member {
  readonly name: string;
  readonly type: number;
}

interface BtfType {
  readonly name: string;
  readonly kind: number;
  /** Size in bytes, or the type referred to. */
  readonly sizeOrType: number;
  readonly members: readonly Member[];
  readonly element: number;
  readonly elements: number;
}

const MAGIC = 0xeb9f;
const HEADER_BYTES = 24;
const KIND_INT = 1;
const KIND_POINTER = 2;
const KIND_ARRAY = 3;
const KIND_STRUCT = 4;
const KIND_UNION = 5;
const KIND_ENUM = 6;
const KIND_DATASEC = 15;
const MAX_DEPTH = 16;

/** Bytes after the 12-byte head of a type, by kind and member count. */
const TRAILER: Readonly<Record<number, (count: number) => number>> = {
  1: () => 4,
  3: () => 12,
  4: (n) => 12 * n,
  5: (n) => 12 * n,
  6: (n) => 8 * n,
  13: (n) => 8 * n,
  14: () => 4,
  15: (n) => 12 * n,
  17: () => 4,
  19: (n) => 12 * n,
};

export function parseMapDefinitions(btf: Buffer): Parsed<readonly MapDefinition[]> {
  const types = parseTypes(btf);
  if (!types.ok) return types;
  const section = types.value.find((t) => t?.kind === KIND_DATASEC && t.name === ".maps");
  const maps: MapDefinition[] = [];
  for (const variable of section?.members ?? []) {
    const map = mapDefinition(types.value, types.value[variable.type]);
    if (!map.ok) return map;
    maps.push(map.value);
  }
  return parsed(maps);
}

/** The smallest blob that describes a 4-byte int: what socket storage needs for its key and value (type id 1). */
export function encodeIntBtf(): Buffer {
  const strings = Buffer.from("\0int\0", "latin1");
  const header = Buffer.alloc(HEADER_BYTES);
  header.writeUInt16LE(MAGIC, 0);
  header.writeUInt8(1, 2);
  header.writeUInt32LE(HEADER_BYTES, 4);
  header.writeUInt32LE(16, 12); // length of types
  header.writeUInt32LE(16, 16); // offset of strings
  header.writeUInt32LE(strings.length, 20);
  const type = Buffer.alloc(16);
  type.writeUInt32LE(1, 0); // name "int"
  type.writeUInt32LE(KIND_INT << 24, 4);
  type.writeUInt32LE(4, 8); // bytes
  type.writeUInt32LE(0x0100_0020, 12); // signed, 32 bits
  return Buffer.concat([header, type, strings]);
}

/** Type 0 is void and has no entry. */
function parseTypes(btf: Buffer): Parsed<readonly (BtfType | undefined)[]> {
  if (btf.length < HEADER_BYTES || btf.readUInt16LE(0) !== MAGIC) return problem("btf", "not BTF");
  const header = btf.readUInt32LE(4);
  const start = header + btf.readUInt32LE(8);
  const end = start + btf.readUInt32LE(12);
  const strings = btf.subarray(header + btf.readUInt32LE(16));
  if (end > btf.length) return problem("btf", "types are cut off");
  const types: (BtfType | undefined)[] = [undefined];
  for (let at = start; at + 12 <= end;) {
    const info = btf.readUInt32LE(at + 4);
    const count = info & 0xffff;
    const length = 12 + (TRAILER[(info >>> 24) & 31]?.(count) ?? 0);
    if (at + length > end) return problem("btf", "a type is cut off");
    types.push(readType(btf.subarray(at, at + length), strings));
    at += length;
  }
  return parsed(types);
}

function readType(bytes: Buffer, strings: Buffer): BtfType {
  const info = bytes.readUInt32LE(4);
  const kind = (info >>> 24) & 31;
  const isStruct = kind === KIND_STRUCT || kind === KIND_UNION;
  const count = isStruct || kind === KIND_DATASEC ? info & 0xffff : 0;
  const members = Array.from({ length: count }, (_, i) => {
    const at = 12 + 12 * i;
    return isStruct
      ? { name: cString(strings, bytes.readUInt32LE(at)), type: bytes.readUInt32LE(at + 4) }
      : { name: "", type: bytes.readUInt32LE(at) };
  });
  return {
    name: cString(strings, bytes.readUInt32LE(0)),
    kind,
    sizeOrType: bytes.readUInt32LE(8),
    members,
    element: kind === KIND_ARRAY ? bytes.readUInt32LE(12) : 0,
    elements: kind === KIND_ARRAY ? bytes.readUInt32LE(20) : 0,
  };
}

function mapDefinition(
  types: readonly (BtfType | undefined)[],
  variable: BtfType | undefined,
): Parsed<MapDefinition> {
  const struct = variable === undefined ? undefined : types[variable.sizeOrType];
  if (variable === undefined || struct?.kind !== KIND_STRUCT)
    return problem("btf", "a map is not a variable of struct type");
  const pointee = (name: string): BtfType | undefined => {
    const member = struct.members.find((m) => m.name === name);
    const pointer = member === undefined ? undefined : types[member.type];
    return pointer?.kind === KIND_POINTER ? types[pointer.sizeOrType] : undefined;
  };
  const number = (name: string): number => pointee(name)?.elements ?? 0;
  const sizes = (["key", "value"] as const).map((name) => sizeOf(types, pointee(name), 0));
  const [keySize, valueSize] = sizes;
  if (keySize === undefined || valueSize === undefined || number("type") === 0)
    return problem(variable.name, "the map lacks a type, key or value");
  return parsed({
    name: variable.name,
    type: number("type"),
    keySize,
    valueSize,
    maxEntries: number("max_entries"),
    flags: number("map_flags"),
  });
}

function sizeOf(
  types: readonly (BtfType | undefined)[],
  type: BtfType | undefined,
  depth: number,
): number | undefined {
  if (type === undefined || depth > MAX_DEPTH) return undefined;
  if ([KIND_INT, KIND_STRUCT, KIND_UNION, KIND_ENUM].includes(type.kind)) return type.sizeOrType;
  if (type.kind === KIND_POINTER) return 8;
  if (type.kind === KIND_ARRAY) {
    const element = sizeOf(types, types[type.element], depth + 1);
    return element === undefined ? undefined : element * type.elements;
  }
  return sizeOf(types, types[type.sizeOrType], depth + 1); // typedef, const, volatile
}
