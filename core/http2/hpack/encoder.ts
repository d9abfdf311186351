/**
 * HOT PATH. HPACK encoder of one direction of a connection (RFC 7541).
 * The table never exceeds what the peer allows, nor our own cap. Fields that are sensitive, or whose name says so,
 * are never-indexed literals; names whose values hardly ever repeat do not push others out of the table.
 */
import { DynamicTable } from "./dynamic-table.ts";
import { INITIAL_TABLE_BYTES } from "./decoder.ts";
import { fieldSizeBytes, type FieldToSend, type HeaderField, headerField } from "./header-field.ts";
import { encodeHuffman, huffmanLength } from "./huffman.ts";
import { MAX_INTEGER_OCTETS, writeInteger } from "./integer.ts";
import { STATIC_INDEX_BY_FIELD, STATIC_INDEX_BY_NAME, STATIC_TABLE_LENGTH } from "./static-table.ts";

export interface HpackEncoderOptions {
  /** Our own bound on the memory of the table, whatever the peer allows. Default 4,096. */
  readonly maxTableBytes?: number;
  /** Huffman-code strings that become shorter by it. Costs time; default off. */
  readonly huffman?: boolean;
}

/** A proxy's connection carries many users, so that no table may remember these (RFC 7541 7.1.3). */
const NEVER_INDEXED: ReadonlySet<string> = new Set([
  "authorization",
  "proxy-authorization",
  "cookie",
  "set-cookie",
]);

const SELDOM_REPEATED: ReadonlySet<string> = new Set([
  ":path",
  "age",
  "b3",
  "content-length",
  "content-range",
  "date",
  "etag",
  "forwarded",
  "grpc-message",
  "grpc-timeout",
  "idempotency-key",
  "if-modified-since",
  "if-none-match",
  "last-modified",
  "traceparent",
  "tracestate",
  "x-amzn-trace-id",
  "x-b3-parentspanid",
  "x-b3-spanid",
  "x-b3-traceid",
  "x-cloud-trace-context",
  "x-correlation-id",
  "x-datadog-parent-id",
  "x-datadog-trace-id",
  "x-forwarded-for",
  "x-request-id",
]);

const INDEXED = { bits: 7, pattern: 0x80 } as const;
const INCREMENTAL = { bits: 6, pattern: 0x40 } as const;
const WITHOUT_INDEXING = { bits: 4, pattern: 0x00 } as const;
const NEVER = { bits: 4, pattern: 0x10 } as const;
const SIZE_UPDATE = { bits: 5, pattern: 0x20 } as const;
const RAW_STRING = { bits: 7, pattern: 0x00 } as const;
const HUFFMAN_STRING = { bits: 7, pattern: 0x80 } as const;

type LiteralForm = typeof INCREMENTAL | typeof WITHOUT_INDEXING | typeof NEVER;

export class HpackEncoder {
  readonly #capBytes: number;
  readonly #huffman: boolean;
  readonly #table: DynamicTable;
  /** Name to value to insertion number; an entry's index is counted back from the newest. */
  readonly #insertions = new Map<string, Map<string, number>>();
  #inserted = 0;
  /** The smallest size since the last block, if the size changed at all: it is announced first (RFC 7541 4.2). */
  #smallestBytes: number | undefined;
  #scratch = Buffer.alloc(1_024);

  constructor(options: HpackEncoderOptions = {}) {
    this.#capBytes = options.maxTableBytes ?? INITIAL_TABLE_BYTES;
    this.#huffman = options.huffman ?? false;
    this.#table = new DynamicTable(INITIAL_TABLE_BYTES, (field) => this.#forget(field));
    this.limitTable(INITIAL_TABLE_BYTES);
  }

  /** The peer's SETTINGS_HEADER_TABLE_SIZE, when our acknowledgement of it is sent. */
  limitTable(peerBytes: number): void {
    const maxBytes = Math.min(peerBytes, this.#capBytes);
    if (maxBytes === this.#table.maxBytes) return;
    this.#smallestBytes = Math.min(maxBytes, this.#smallestBytes ?? maxBytes);
    this.#table.resize(maxBytes);
  }

  /** The dynamic table, newest first; for tests and debugging. */
  tableEntries(): readonly HeaderField[] {
    return Array.from({ length: this.#table.length }, (_, i) => this.#table.at(i) as HeaderField);
  }

  /** One complete header block in a buffer of its own. */
  encode(fields: readonly FieldToSend[]): Buffer {
    const most = maxEncodedBytes(fields);
    if (this.#scratch.length < most) this.#scratch = Buffer.alloc(most * 2);
    return Buffer.from(this.#scratch.subarray(0, this.encodeInto(fields, this.#scratch, 0)));
  }

  /** The same into `out`, which has `maxEncodedBytes(fields)` of room at `offset`; returns the offset behind it. */
  encodeInto(fields: readonly FieldToSend[], out: Uint8Array, offset: number): number {
    let at = this.#writeSizeUpdates(out, offset);
    for (const field of fields) at = this.#writeField(field, out, at);
    return at;
  }

  #writeSizeUpdates(out: Uint8Array, offset: number): number {
    const smallest = this.#smallestBytes;
    if (smallest === undefined) return offset;
    this.#smallestBytes = undefined;
    const current = this.#table.maxBytes;
    const at = smallest < current ? writeInteger(out, offset, SIZE_UPDATE, smallest) : offset;
    return writeInteger(out, at, SIZE_UPDATE, current);
  }

  #writeField(field: FieldToSend, out: Uint8Array, offset: number): number {
    const { name, value } = field;
    if (field.sensitive === true || NEVER_INDEXED.has(name))
      return this.#writeLiteral(field, NEVER, out, offset);
    const index = STATIC_INDEX_BY_FIELD.get(name)?.get(value) ?? this.#dynamicIndex(name, value);
    if (index !== undefined) return writeInteger(out, offset, INDEXED, index);
    if (!this.#isWorthIndexing(field)) return this.#writeLiteral(field, WITHOUT_INDEXING, out, offset);
    const at = this.#writeLiteral(field, INCREMENTAL, out, offset);
    this.#insert(field);
    return at;
  }

  #writeLiteral(field: FieldToSend, form: LiteralForm, out: Uint8Array, offset: number): number {
    const nameIndex = STATIC_INDEX_BY_NAME.get(field.name) ?? this.#dynamicNameIndex(field.name) ?? 0;
    let at = writeInteger(out, offset, form, nameIndex);
    if (nameIndex === 0) at = this.#writeString(field.name, out, at);
    return this.#writeString(field.value, out, at);
  }

  #writeString(text: string, out: Uint8Array, offset: number): number {
    const coded = this.#huffman ? huffmanLength(text) : text.length;
    if (coded < text.length) {
      assertOctets(text);
      return encodeHuffman(text, out, writeInteger(out, offset, HUFFMAN_STRING, coded));
    }
    return writeOctets(text, out, writeInteger(out, offset, RAW_STRING, text.length));
  }

  #isWorthIndexing(field: FieldToSend): boolean {
    // An entry of more than half of the table would push out everything else.
    return !SELDOM_REPEATED.has(field.name) && fieldSizeBytes(field) <= this.#table.maxBytes / 2;
  }

  #dynamicIndex(name: string, value: string): number | undefined {
    const insertion = this.#insertions.get(name)?.get(value);
    return insertion === undefined ? undefined : STATIC_TABLE_LENGTH + 1 + this.#inserted - insertion;
  }

  #dynamicNameIndex(name: string): number | undefined {
    const first = this.#insertions.get(name)?.values().next();
    return first === undefined || first.done === true
      ? undefined
      : STATIC_TABLE_LENGTH + 1 + this.#inserted - first.value;
  }

  #insert({ name, value }: FieldToSend): void {
    this.#table.add(headerField(name, value));
    this.#inserted++;
    const byValue = this.#insertions.get(name) ?? new Map<string, number>();
    this.#insertions.set(name, byValue.set(value, this.#inserted));
  }

  #forget(field: HeaderField): void {
    const byValue = this.#insertions.get(field.name);
    // Equal fields are never inserted twice, so the entry that leaves is the one that the map knows.
    byValue?.delete(field.value);
    if (byValue?.size === 0) this.#insertions.delete(field.name);
  }
}

/** Bytes that the block of `fields` can take at most, size updates included. */
export function maxEncodedBytes(fields: readonly FieldToSend[]): number {
  let bytes = 2 * MAX_INTEGER_OCTETS;
  for (const field of fields) bytes += field.name.length + field.value.length + 3 * MAX_INTEGER_OCTETS;
  return bytes;
}

function writeOctets(text: string, out: Uint8Array, offset: number): number {
  let seen = 0;
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    seen |= code;
    out[offset + i] = code;
  }
  if (seen > 0xff) throw notOctets();
  return offset + text.length;
}

function assertOctets(text: string): void {
  let seen = 0;
  for (let i = 0; i < text.length; i++) seen |= text.charCodeAt(i);
  if (seen > 0xff) throw notOctets();
}

/** Cutting characters to their low byte would let U+010A become a line feed. */
function notOctets(): Error {
  return new Error("invariant broken: a header field holds characters that are not octets (latin1)");
}
