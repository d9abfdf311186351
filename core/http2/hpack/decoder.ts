/**
 * HOT PATH. HPACK decoder of one direction of a connection (RFC 7541). Takes complete header blocks: the caller
 * joins HEADERS and CONTINUATION under the bounds of `flood-limits.ts`.
 *
 * A list above the limit is decoded to its end, so that both tables stay equal and the connection stays usable,
 * but stored only up to the limit. A malformed block ends the connection with COMPRESSION_ERROR.
 */
import { DynamicTable } from "./dynamic-table.ts";
import { FIELD_OVERHEAD_BYTES, fieldSizeBytes, headerField, type HeaderField } from "./header-field.ts";
import { decodeHuffman, maxDecodedBytes } from "./huffman.ts";
import { MALFORMED, readInteger, type BlockReader } from "./integer.ts";
import { STATIC_TABLE, STATIC_TABLE_LENGTH } from "./static-table.ts";

export type HeaderBlock =
  | { readonly kind: "headers"; readonly fields: readonly HeaderField[]; readonly listBytes: number }
  /** More than the limit; the tables are right. The stream is refused, the connection goes on. */
  | { readonly kind: "too-large"; readonly listBytes: number }
  /** The connection ends with COMPRESSION_ERROR. */
  | { readonly kind: "malformed"; readonly reason: string };

/** RFC 9113 6.5.2: the size of both tables before any SETTINGS. */
export const INITIAL_TABLE_BYTES = 4_096;
const DEFAULT_MAX_LIST_BYTES = 65_536;

export class HpackDecoder {
  readonly #table = new DynamicTable(INITIAL_TABLE_BYTES);
  readonly #maxListBytes: number;
  readonly #reader: BlockReader = { bytes: new Uint8Array(0), position: 0, end: 0 };
  #limitBytes = INITIAL_TABLE_BYTES;
  #updateDue = false;
  #fields: HeaderField[] = [];
  #listBytes = 0;
  #block: Buffer = Buffer.alloc(0);
  #scratch: Buffer = Buffer.alloc(0);

  /** `maxListBytes`: the largest header list that is handed out, counted as RFC 9113 6.5.2 does. */
  constructor(options: { readonly maxListBytes?: number } = {}) {
    this.#maxListBytes = options.maxListBytes ?? DEFAULT_MAX_LIST_BYTES;
  }

  /** Our SETTINGS_HEADER_TABLE_SIZE, from the moment the peer has acknowledged it. */
  limitTable(maxBytes: number): void {
    this.#limitBytes = maxBytes;
    // RFC 7541 4.2: who learns of a smaller limit says so at the start of the next block.
    this.#updateDue = maxBytes < this.#table.maxBytes;
  }

  /** Bytes that the dynamic table holds; for accounting and tests. */
  get tableBytes(): number {
    return this.#table.sizeBytes;
  }

  /** The dynamic table, newest first; for tests and debugging. */
  tableEntries(): readonly HeaderField[] {
    return Array.from({ length: this.#table.length }, (_, i) => this.#table.at(i) as HeaderField);
  }

  /** Decodes one complete block. `block` is not kept. */
  decode(block: Uint8Array): HeaderBlock {
    const reader = this.#reader;
    reader.bytes = block;
    reader.position = 0;
    reader.end = block.length;
    this.#block = Buffer.from(block.buffer, block.byteOffset, block.byteLength);
    this.#fields = [];
    this.#listBytes = 0;
    let problem = this.#tableSizeUpdates();
    while (problem === undefined && reader.position < reader.end) problem = this.#representation();
    const fields = this.#fields;
    this.#fields = [];
    if (problem !== undefined) return { kind: "malformed", reason: problem };
    if (this.#listBytes > this.#maxListBytes) return { kind: "too-large", listBytes: this.#listBytes };
    return { kind: "headers", fields, listBytes: this.#listBytes };
  }

  /** RFC 7541 4.2 and 6.3: only at the start of a block, never above the limit. */
  #tableSizeUpdates(): string | undefined {
    const reader = this.#reader;
    while (reader.position < reader.end && ((reader.bytes[reader.position] as number) & 0xe0) === 0x20) {
      const maxBytes = readInteger(reader, 5);
      if (maxBytes === MALFORMED) return "bad integer in a table size update";
      if (maxBytes > this.#limitBytes) return "table size update above the limit";
      this.#table.resize(maxBytes);
      this.#updateDue = false;
    }
    return this.#updateDue ? "no table size update after the limit was lowered" : undefined;
  }

  #representation(): string | undefined {
    const first = this.#reader.bytes[this.#reader.position] as number;
    if (first >= 0x80) return this.#indexed();
    if ((first & 0xe0) === 0x20) return "table size update after a field";
    const incremental = first >= 0x40;
    return this.#literal(incremental, !incremental && (first & 0x10) !== 0);
  }

  #indexed(): string | undefined {
    const field = this.#lookUp(readInteger(this.#reader, 7));
    if (field === undefined) return "index of no table entry";
    this.#listBytes += fieldSizeBytes(field);
    if (this.#listBytes <= this.#maxListBytes) this.#fields.push(field);
    return undefined;
  }

  #literal(incremental: boolean, sensitive: boolean): string | undefined {
    const index = readInteger(this.#reader, incremental ? 6 : 4);
    if (index === MALFORMED) return "bad integer in an index";
    const name = index === 0 ? this.#string() : this.#lookUp(index)?.name;
    if (name === undefined) return index === 0 ? "malformed name" : "index of no table entry";
    const value = this.#string();
    if (value === undefined) return "malformed value";
    const size = name.length + value.length + FIELD_OVERHEAD_BYTES;
    this.#listBytes += size;
    const stored = this.#listBytes <= this.#maxListBytes;
    if (!stored && !incremental) return undefined;
    const field = headerField(name, value, sensitive);
    if (stored) this.#fields.push(field);
    if (incremental) this.#table.add(field);
    return undefined;
  }

  #lookUp(index: number): HeaderField | undefined {
    return index <= STATIC_TABLE_LENGTH
      ? STATIC_TABLE[index]
      : this.#table.at(index - STATIC_TABLE_LENGTH - 1);
  }

  /** RFC 7541 5.2. Undefined when it is cut off or its Huffman code is wrong. */
  #string(): string | undefined {
    const reader = this.#reader;
    if (reader.position >= reader.end) return undefined;
    const coded = (reader.bytes[reader.position] as number) >= 0x80;
    const length = readInteger(reader, 7);
    if (length === MALFORMED || length > reader.end - reader.position) return undefined;
    const start = reader.position;
    reader.position += length;
    if (!coded) return this.#block.toString("latin1", start, reader.position);
    if (this.#scratch.length < maxDecodedBytes(length))
      this.#scratch = Buffer.alloc(maxDecodedBytes(length) * 2);
    const decoded = decodeHuffman(reader.bytes, start, reader.position, this.#scratch);
    return decoded === MALFORMED ? undefined : this.#scratch.toString("latin1", 0, decoded);
  }
}
