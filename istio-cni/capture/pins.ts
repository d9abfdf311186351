/**
 * Where the kernel's objects of one pod are kept: `<bpffs>/ambit/pods/<pod uid>/`. What is pinned there is what is
 * enrolled; nothing else is asked. Markers are empty directories, for bpffs holds nothing else.
 */
import { closeSync, existsSync, mkdirSync, readdirSync, rmdirSync, unlinkSync } from "node:fs";
import { join } from "node:path";
import { openPinned, pinObject } from "#core/linux/bpf.ts";
import { AmbitError } from "#core/runtime/errors.ts";
import { POD_MAPS, POD_PROGRAMS, type PodMap, type PodProgram } from "./kernel-names.ts";

export const CAPTURE_BAD_POD_UID = "CAPTURE_BAD_POD_UID";

const POD_UID = /^[A-Za-z0-9_-]{1,80}$/;
const BUILD_MARKER = /^build_([0-9a-f]{16})$/;
const EGRESS_LINK = /^link_egress_(\d{1,9})$/;

/** `enrolled`: the self-test passed. `clsact`: attached by filters, which have no pins of their own. */
export type Marker = "enrolled" | "clsact";

export class PodPins {
  readonly directory: string;

  constructor(root: string, podUid: string) {
    if (!POD_UID.test(podUid))
      throw new AmbitError(CAPTURE_BAD_POD_UID, `"${podUid.slice(0, 80)}" cannot name pins`);
    this.directory = join(podsDirectory(root), podUid);
  }

  exists(): boolean {
    return existsSync(this.directory);
  }

  /** All maps and programs are there, so that an interrupted enrolment can be taken up again. */
  isLoaded(): boolean {
    return (
      POD_MAPS.every((name) => existsSync(this.#path(name))) &&
      POD_PROGRAMS.every((name) => existsSync(this.#path(programPin(name))))
    );
  }

  create(): void {
    mkdirSync(this.directory, { recursive: true, mode: 0o700 });
  }

  pinMap(name: PodMap, fd: number): void {
    pinObject(fd, this.#path(name));
  }

  pinProgram(name: PodProgram, fd: number): void {
    this.replacePin(programPin(name), fd);
  }

  /** Runs `work` with the map's descriptor. */
  withMap<T>(name: PodMap, work: (fd: number) => T): T {
    return withPinned(this.#path(name), work);
  }

  withProgram<T>(name: PodProgram, work: (fd: number) => T): T {
    return withPinned(this.#path(programPin(name)), work);
  }

  /** Undefined when there is no such pin. */
  withLink<T>(name: string, work: (fd: number) => T): T | undefined {
    const path = this.#path(name);
    return existsSync(path) ? withPinned(path, work) : undefined;
  }

  /** Pins `fd` in place of what was there. */
  replacePin(name: string, fd: number): void {
    this.removePin(name);
    pinObject(fd, this.#path(name));
  }

  removePin(name: string): void {
    const path = this.#path(name);
    if (existsSync(path)) unlinkSync(path);
  }

  mark(marker: Marker): void {
    mkdirSync(this.#path(`is_${marker}`), { recursive: true });
  }

  unmark(marker: Marker): void {
    if (this.isMarked(marker)) rmdirSync(this.#path(`is_${marker}`));
  }

  isMarked(marker: Marker): boolean {
    return existsSync(this.#path(`is_${marker}`));
  }

  /** Of which build the programs are; undefined when nothing says so. */
  build(): string | undefined {
    for (const name of readdirSync(this.directory)) {
      const build = BUILD_MARKER.exec(name)?.[1];
      if (build !== undefined) return build;
    }
    return undefined;
  }

  setBuild(build: string): void {
    for (let old = this.build(); old !== undefined; old = this.build()) rmdirSync(this.#path(`build_${old}`));
    mkdirSync(this.#path(`build_${build}`));
  }

  /** Interface indexes with an egress link. */
  egressLinks(): readonly number[] {
    return readdirSync(this.directory).flatMap((name) => {
      const index = EGRESS_LINK.exec(name)?.[1];
      return index === undefined ? [] : Number(index);
    });
  }

  /** Dropping the last pin of a link detaches it. */
  remove(): void {
    if (!this.exists()) return;
    for (const entry of readdirSync(this.directory, { withFileTypes: true })) {
      const path = join(this.directory, entry.name);
      if (entry.isDirectory()) rmdirSync(path);
      else unlinkSync(path);
    }
    rmdirSync(this.directory);
  }

  #path(name: string): string {
    return join(this.directory, name);
  }
}

export function podsDirectory(root: string): string {
  return join(root, "ambit", "pods");
}

export function nodeDirectory(root: string): string {
  return join(root, "ambit", "node");
}

export const STEER_LINK = "link_steer";
export const LOOPBACK_LINK = "link_loopback";

export function egressLink(ifindex: number): string {
  return `link_egress_${ifindex}`;
}

export function withPinned<T>(path: string, work: (fd: number) => T): T {
  const fd = openPinned(path);
  try {
    return work(fd);
  } finally {
    closeSync(fd);
  }
}

function programPin(name: PodProgram): string {
  return `program_${name}`;
}
