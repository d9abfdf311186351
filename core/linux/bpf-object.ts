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
  const relocations = elf.sections
    .filter((s) => s.type === SHT_REL && s.info === section.index)
    .flatMap(relocationsOf);
  for (const relocation of relocations) {
    if (relocation.offset < symbol.value || relocation.offset >= end) continue;
    const offset = relocation.offset - symbol.value;
    const map = elf.symbols[relocation.symbol]?.name ?? "";
    if (relocation.kind !== R_BPF_64_64 || !maps.has(map))
      return problem(symbol.name, `relocation ${relocation.kind} to "${map}" is not a map reference`);
    if (offset + 2 * INSTRUCTION_BYTES > symbol.size || instructions[offset] !== LOAD_IMMEDIATE_64)
      return problem(symbol.name, `the map reference at ${offset} is not a 64-bit load`);
    references.push({ offset, map });
  }
  return parsed({ name: symbol.name, section: section.name, instructions, references });
}
