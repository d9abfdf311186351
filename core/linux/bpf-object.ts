/** Pure. From an object file to what the kernel wants: map definitions, and programs with their map references. */
import { type Parsed, parsed, problem } from "../base/parse-result.ts";
import { type MapDefinition, parseMapDefinitions } from "./btf.ts";
import {
  type Elf,
  type ElfSection,
  type ElfSymbol,
  parseElf,
  R_BPF_64_64,
  relocationsOf,
  SHT_PROGBITS,
  SHT_REL,
  STT_FUNC,
} from "./elf.ts";

export interface MapReference {
  /** Byte offset of the two-slot load instruction. */
  readonly offset: number;
  readonly map: string;
}

export interface ProgramText {
  readonly name: string;
  /** Section name; says the program type. */
  readonly section: string;
  readonly instructions: Buffer;
  readonly references: readonly MapReference[];
}

export interface BpfObject {
  readonly maps: readonly MapDefinition[];
  readonly programs: readonly ProgramText[];
}

const INSTRUCTION_BYTES = 8;
const LOAD_IMMEDIATE_64 = 0x18;
const PSEUDO_MAP_FD = 1;

export function parseBpfObject(bytes: Buffer): Parsed<BpfObject> {
  const elf = parseElf(bytes);
  if (!elf.ok) return elf;
  const btf = elf.value.sections.find((s) => s.name === ".BTF");
  if (btf === undefined) return problem("sections", "the object has no type information (.BTF)");
  const maps = parseMapDefinitions(btf.bytes);
  if (!maps.ok) return maps;
  const known = new Set(maps.value.map((m) => m.name));
  const programs: ProgramText[] = [];
  for (const section of elf.value.sections) {
    if (section.type !== SHT_PROGBITS) continue;
    for (const symbol of elf.value.symbols) {
      if (symbol.kind !== STT_FUNC || symbol.section !== section.index) continue;
      const program = programText(elf.value, section, symbol, known);
      if (!program.ok) return program;
      programs.push(program.value);
    }
  }
  return parsed({ maps: maps.value, programs });
}

/** The instructions with every map reference replaced by the descriptor that `fdOf` gives. */
export function linkProgram(program: ProgramText, fdOf: (map: string) => number): Buffer {
  const code = Buffer.from(program.instructions);
  for (const { offset, map } of program.references) {
    code.writeUInt8((code.readUInt8(offset + 1) & 0x0f) | (PSEUDO_MAP_FD << 4), offset + 1);
    code.writeInt32LE(fdOf(map), offset + 4);
  }
  return code;
}

function programText(
  elf: Elf,
  section: ElfSection,
  symbol: ElfSymbol,
  maps: ReadonlySet<string>,
): Parsed<ProgramText> {
  const end = symbol.value + symbol.size;
  if (symbol.size === 0 || end > section.bytes.length || symbol.size % INSTRUCTION_BYTES !== 0)
    return problem(symbol.name, "the function lies outside its section");
  const instructions = section.bytes.subarray(symbol.value, end);
  const references: MapReference[] = [];
  for (const relocation of elf.sections.filter((s) => appliesTo(s, section)).flatMap(relocationsOf)) {
    if (relocation.offset < symbol.value || relocation.offset >= end) continue;
    const map = relocation.kind === R_BPF_64_64 ? elf.symbols[relocation.symbol]?.name : undefined;
    const offset = relocation.offset - symbol.value;
    if (map === undefined || !maps.has(map) || !isWideLoad(instructions, offset))
      return problem(symbol.name, `the relocation at ${offset} is not a map reference`);
    references.push({ offset, map });
  }
  return parsed({ name: symbol.name, section: section.name, instructions, references });
}

function appliesTo(candidate: ElfSection, section: ElfSection): boolean {
  return candidate.type === SHT_REL && candidate.info === section.index;
}

function isWideLoad(instructions: Buffer, offset: number): boolean {
  return offset + 2 * INSTRUCTION_BYTES <= instructions.length && instructions[offset] === LOAD_IMMEDIATE_64;
}
