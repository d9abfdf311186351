/**
 * Pure. Reads the small relocatable ELF64 little-endian objects that clang makes for the bpf target (gABI chapter 4).
 * Every offset is checked: a damaged object gives problems, never a wild read.
 */
import { type Parsed, parsed, problem } from "../base/parse-result.ts";

export interface ElfSection {
  readonly index: number;
  readonly name: string;
  readonly type: number;
  /** For relocation sections: the section they apply to. */
  readonly info: number;
  readonly bytes: Buffer;
}

export interface ElfSymbol {
  readonly name: string;
  readonly kind: number;
  readonly section: number;
  readonly value: number;
  readonly size: number;
}

export interface ElfRelocation {
  readonly offset: number;
  readonly kind: number;
  readonly symbol: number;
}

export interface Elf {
  readonly sections: readonly ElfSection[];
  readonly symbols: readonly ElfSymbol[];
}

export const SHT_PROGBITS = 1;
const SHT_SYMTAB = 2;
export const SHT_REL = 9;
export const STT_FUNC = 2;
export const R_BPF_64_64 = 1;

const HEADER_BYTES = 64;
const SECTION_HEADER_BYTES = 64;
const SYMBOL_BYTES = 24;
const RELOCATION_BYTES = 16;
const MAX_SECTIONS = 256;
const EM_BPF = 247;

export function parseElf(bytes: Buffer): Parsed<Elf> {
  const wrong = headerProblem(bytes);
  if (wrong !== undefined) return problem("header", wrong);
  const headers = sectionHeaders(bytes);
  if (headers.some((h) => h.offset + h.size > bytes.length))
    return problem("sections", "a section reaches beyond the end of the object");
  const names = content(bytes, headers[bytes.readUInt16LE(62)]);
  const sections = headers.map((h, index) => ({
    index,
    name: cString(names, h.name),
    type: h.type,
    info: h.info,
    bytes: content(bytes, h),
  }));
  const table = headers.findIndex((h) => h.type === SHT_SYMTAB);
  if (table < 0) return problem("sections", "the object has no symbol table");
  const strings = content(bytes, headers[headers[table]?.link ?? -1]);
  return parsed({ sections, symbols: symbolsOf(sections[table]?.bytes ?? Buffer.alloc(0), strings) });
}

export function relocationsOf(section: ElfSection): readonly ElfRelocation[] {
  return Array.from({ length: Math.floor(section.bytes.length / RELOCATION_BYTES) }, (_, i) => {
    const at = i * RELOCATION_BYTES;
    return {
      offset: Number(section.bytes.readBigUInt64LE(at)),
      kind: section.bytes.readUInt32LE(at + 8),
      symbol: section.bytes.readUInt32LE(at + 12),
    };
  });
}

/** The zero-terminated text at `offset`; empty when the offset is outside. */
export function cString(bytes: Buffer, offset: number): string {
  if (offset >= bytes.length) return "";
  const end = bytes.indexOf(0, offset);
  return bytes.toString("latin1", offset, end < 0 ? bytes.length : end);
}

interface SectionHeader {
  readonly name: number;
  readonly type: number;
  readonly offset: number;
  readonly size: number;
  readonly link: number;
  readonly info: number;
}

function headerProblem(bytes: Buffer): string | undefined {
  if (bytes.length < HEADER_BYTES || bytes.readUInt32BE(0) !== 0x7f454c46) return "not an ELF object";
  if (bytes[4] !== 2 || bytes[5] !== 1) return "not a 64-bit little-endian object";
  if (bytes.readUInt16LE(18) !== EM_BPF) return `machine ${bytes.readUInt16LE(18)} is not bpf`;
  const count = bytes.readUInt16LE(60);
  const start = Number(bytes.readBigUInt64LE(40));
  if (bytes.readUInt16LE(58) !== SECTION_HEADER_BYTES || count === 0 || count > MAX_SECTIONS)
    return "unexpected section table";
  if (start + count * SECTION_HEADER_BYTES > bytes.length) return "the section table is cut off";
  return bytes.readUInt16LE(62) < count ? undefined : "no section names";
}

function sectionHeaders(bytes: Buffer): readonly SectionHeader[] {
  const start = Number(bytes.readBigUInt64LE(40));
  return Array.from({ length: bytes.readUInt16LE(60) }, (_, i) => {
    const at = start + i * SECTION_HEADER_BYTES;
    const type = bytes.readUInt32LE(at + 4);
    const empty = type === 0 || type === 8; // SHT_NULL and SHT_NOBITS have no bytes in the file
    return {
      name: bytes.readUInt32LE(at),
      type,
      offset: empty ? 0 : Number(bytes.readBigUInt64LE(at + 24)),
      size: empty ? 0 : Number(bytes.readBigUInt64LE(at + 32)),
      link: bytes.readUInt32LE(at + 40),
      info: bytes.readUInt32LE(at + 44),
    };
  });
}

function content(bytes: Buffer, header: SectionHeader | undefined): Buffer {
  return header === undefined ? Buffer.alloc(0) : bytes.subarray(header.offset, header.offset + header.size);
}

function symbolsOf(table: Buffer, strings: Buffer): readonly ElfSymbol[] {
  return Array.from({ length: Math.floor(table.length / SYMBOL_BYTES) }, (_, i) => {
    const at = i * SYMBOL_BYTES;
    return {
      name: cString(strings, table.readUInt32LE(at)),
      kind: table.readUInt8(at + 4) & 15,
      section: table.readUInt16LE(at + 6),
      value: Number(table.readBigUInt64LE(at + 8)),
      size: Number(table.readBigUInt64LE(at + 16)),
    };
  });
}
