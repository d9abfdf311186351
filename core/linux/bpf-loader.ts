/** Puts a parsed object into the kernel: creates its maps (or takes those given) and loads the programs asked for. */
import { closeSync } from "node:fs";
import { AmbitError } from "../runtime/errors.ts";
import { createMap, loadProgram, PROGRAM_KINDS, type ProgramKind } from "./bpf.ts";
import { type BpfObject, linkProgram } from "./bpf-object.ts";

export const BPF_OBJECT_INVALID = "BPF_OBJECT_INVALID";

export interface LoadedObject {
  readonly maps: ReadonlyMap<string, number>;
  readonly programs: ReadonlyMap<string, number>;
  /** Closes every descriptor that this load made; given maps stay open. Pinned objects live on. */
  close(): void;
}

export interface LoadOptions {
  /** Maps to use instead of new ones, by name. */
  readonly maps?: ReadonlyMap<string, number>;
  /** Programs to load; all when absent. */
  readonly programs?: readonly string[];
}

export function loadObject(object: BpfObject, options: LoadOptions = {}): LoadedObject {
  const own: number[] = [];
  const keep = (fd: number): number => {
    own.push(fd);
    return fd;
  };
  const close = (): void => {
    for (const fd of own.splice(0)) closeSync(fd);
  };
  try {
    const maps = new Map(
      object.maps.map((m) => [m.name, options.maps?.get(m.name) ?? keep(createMap(m))] as const),
    );
    const wanted = options.programs ?? object.programs.map((p) => p.name);
    const programs = new Map(
      wanted.map((name) => {
        const text = object.programs.find((p) => p.name === name);
        if (text === undefined) throw invalid(`the object has no program "${name}"`);
        const code = linkProgram(text, (map) => maps.get(map) ?? -1);
        return [name, keep(loadProgram(kindOf(text.section), name, code))] as const;
      }),
    );
    return { maps, programs, close };
  } catch (error) {
    close();
    throw error;
  }
}

function kindOf(section: string): ProgramKind {
  if (section in PROGRAM_KINDS) return section as ProgramKind;
  throw invalid(`section "${section}" is not a known program type`);
}

function invalid(message: string): AmbitError {
  return new AmbitError(BPF_OBJECT_INVALID, message);
}
