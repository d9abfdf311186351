/**
 * bpf(2): maps, programs, links and pins. Thin and synchronous; the attribute layouts are those of linux/bpf.h.
 * Descriptors returned are the caller's to close. CAP_BPF and CAP_NET_ADMIN, or root.
 */
import { addressOf, check, libc } from "./libc.ts";
import { encodeIntBtf, type MapDefinition } from "./btf.ts";
import { closeSync } from "node:fs";
import { isErrno, SystemCallError } from "./system-call-error.ts";

export const PROGRAM_KINDS = {
  socket: { type: 1, attach: 0 },
  tc: { type: 3, attach: 0 },
  sockops: { type: 13, attach: 3 },
  sk_lookup: { type: 30, attach: 36 },
} as const;

export type ProgramKind = keyof typeof PROGRAM_KINDS;

/** Attach types of bpf_link_create. */
export const ATTACH = { cgroupSockOps: 3, skLookup: 36, tcxIngress: 46, tcxEgress: 47 } as const;

const COMMAND = {
  mapCreate: 0,
  mapLookup: 1,
  mapUpdate: 2,
  mapDelete: 3,
  mapNextKey: 4,
  progLoad: 5,
  objPin: 6,
  objGet: 7,
  progTestRun: 10,
  objInfo: 15,
  progQuery: 16,
  btfLoad: 18,
  linkCreate: 28,
  linkUpdate: 29,
} as const;

const BPF_SYSCALL = process.arch === "arm64" ? 280 : 321;
const MAP_TYPE_SK_STORAGE = 24;
const BPF_F_BEFORE = 8;
const LOG_BYTES = 1 << 20;
const SK_BUFF_BYTES = 192;
const SK_BUFF_CB_OFFSET = 48;
const MAX_LOAD_TRIES = 20;

export function createMap(definition: MapDefinition): number {
  const attr = Buffer.alloc(72);
  attr.writeUInt32LE(definition.type, 0);
  attr.writeUInt32LE(definition.keySize, 4);
  attr.writeUInt32LE(definition.valueSize, 8);
  attr.writeUInt32LE(definition.maxEntries, 12);
  attr.writeUInt32LE(definition.flags, 16);
  writeName(attr, definition.name, 28);
  if (definition.type !== MAP_TYPE_SK_STORAGE) return call("mapCreate", attr);
  const btf = loadIntBtf(); // socket storage insists on types for key and value
  attr.writeUInt32LE(btf, 48);
  attr.writeUInt32LE(1, 52);
  attr.writeUInt32LE(1, 56);
  try {
    return call("mapCreate", attr);
  } finally {
    closeSync(btf);
  }
}

/** The value of `key`, `size` bytes long; undefined when absent. */
export function lookupElement(map: number, key: Uint8Array, size: number): Buffer | undefined {
  const value = Buffer.alloc(size);
  return callOr("mapLookup", elementAttr(map, key, value), "ENOENT") === undefined ? undefined : value;
}

export function updateElement(map: number, key: Uint8Array, value: Uint8Array): void {
  call("mapUpdate", elementAttr(map, key, value));
}

/** Whether the key was there. */
export function deleteElement(map: number, key: Uint8Array): boolean {
  return callOr("mapDelete", elementAttr(map, key), "ENOENT") !== undefined;
}

/** All keys of a hash map; at most `limit`. */
export function mapKeys(map: number, keySize: number, limit = 65_536): readonly Buffer[] {
  const keys: Buffer[] = [];
  while (keys.length < limit) {
    const next = Buffer.alloc(keySize);
    const attr = Buffer.alloc(32);
    const previous = keys.at(-1);
    attr.writeUInt32LE(map, 0);
    if (previous !== undefined) attr.writeBigUInt64LE(addressOf(previous), 8);
    attr.writeBigUInt64LE(addressOf(next), 16);
    if (callOr("mapNextKey", attr, "ENOENT") === undefined) break;
    keys.push(next);
  }
  return keys;
}

/** Loads a program; the error carries the end of the verifier's log. */
export function loadProgram(kind: ProgramKind, name: string, instructions: Buffer): number {
  const license = Buffer.from("GPL\0", "latin1");
  const attr = Buffer.alloc(144);
  attr.writeUInt32LE(PROGRAM_KINDS[kind].type, 0);
  attr.writeUInt32LE(instructions.length / 8, 4);
  attr.writeBigUInt64LE(addressOf(instructions), 8);
  attr.writeBigUInt64LE(addressOf(license), 16);
  writeName(attr, name, 48);
  attr.writeUInt32LE(PROGRAM_KINDS[kind].attach, 68);
  const load = (): number | undefined => {
    for (let tries = 0; tries < MAX_LOAD_TRIES; tries++) {
      const fd = callOr("progLoad", attr, "EAGAIN"); // the verifier gives up when a signal is pending
      if (fd !== undefined) return fd;
    }
    return undefined;
  };
  try {
    const fd = load();
    if (fd !== undefined) return fd;
  } catch (error) {
    if (isErrno(error, "EPERM", "ENOSYS")) throw error;
  }
  const log = Buffer.alloc(LOG_BYTES);
  attr.writeUInt32LE(1, 24);
  attr.writeUInt32LE(LOG_BYTES, 28);
  attr.writeBigUInt64LE(addressOf(log), 32);
  try {
    const fd = load();
    if (fd !== undefined) return fd;
    throw new SystemCallError(`bpf progLoad ${name}`, 11, "interrupted every time");
  } catch (error) {
    const text = log.toString("latin1", 0, Math.max(0, log.indexOf(0))).trimEnd();
    const errno = error instanceof SystemCallError ? error.errno : 0;
    throw new SystemCallError(`bpf progLoad ${name}`, errno, text.split("\n").slice(-12).join("\n"));
  }
}

/** Runs a tc program once on a dummy packet in the thread's network namespace; returns its verdict. */
export function testRunTc(program: number, cb: readonly number[]): number {
  const packet = Buffer.alloc(64);
  const context = Buffer.alloc(SK_BUFF_BYTES);
  cb.forEach((value, i) => context.writeUInt32LE(value, SK_BUFF_CB_OFFSET + 4 * i));
  const attr = Buffer.alloc(80);
  attr.writeUInt32LE(program, 0);
  attr.writeUInt32LE(packet.length, 8);
  attr.writeBigUInt64LE(addressOf(packet), 16);
  attr.writeUInt32LE(1, 32);
  attr.writeUInt32LE(SK_BUFF_BYTES, 40);
  attr.writeBigUInt64LE(addressOf(context), 48);
  call("progTestRun", attr);
  return attr.readInt32LE(4);
}

/** Attaches to a namespace or cgroup descriptor. */
export function createLink(program: number, target: number, attachType: number): number {
  return call("linkCreate", linkAttr(program, target, attachType, 0));
}

/** Attaches by tcx at the head of the device's list. Run it inside the device's namespace. Linux 6.6. */
export function createTcxLink(program: number, ifindex: number, direction: "ingress" | "egress"): number {
  const attach = direction === "ingress" ? ATTACH.tcxIngress : ATTACH.tcxEgress;
  return call("linkCreate", linkAttr(program, ifindex, attach, BPF_F_BEFORE));
}

/** Replaces the program of a live link, atomically. */
export function updateLink(link: number, program: number): void {
  const attr = Buffer.alloc(16);
  attr.writeUInt32LE(link, 0);
  attr.writeUInt32LE(program, 4);
  call("linkUpdate", attr);
}

export function pinObject(fd: number, path: string): void {
  const text = Buffer.from(`${path}\0`, "utf8");
  const attr = Buffer.alloc(24);
  attr.writeBigUInt64LE(addressOf(text), 0);
  attr.writeUInt32LE(fd, 8);
  call("objPin", attr, path);
}

export function openPinned(path: string): number {
  const text = Buffer.from(`${path}\0`, "utf8");
  const attr = Buffer.alloc(24);
  attr.writeBigUInt64LE(addressOf(text), 0);
  return call("objGet", attr, path);
}

export interface LinkInfo {
  readonly id: number;
  readonly programId: number;
  /** Namespace inode for sk_lookup links, interface index for tcx; 0 when the target is gone. */
  readonly target: number;
}

export function linkInfo(link: number): LinkInfo {
  const info = objectInfo(link, 64);
  return { id: info.readUInt32LE(4), programId: info.readUInt32LE(8), target: info.readUInt32LE(16) };
}

/** Ids of the programs at a tcx hook, in the order they run. Run it inside the device's namespace. */
export function queryTcx(ifindex: number, direction: "ingress" | "egress"): readonly number[] {
  return queryPrograms(ifindex, direction === "ingress" ? ATTACH.tcxIngress : ATTACH.tcxEgress);
}

/** Ids of the programs that choose the socket of an arriving connection in a network namespace. */
export function querySkLookup(netnsFd: number): readonly number[] {
  return queryPrograms(netnsFd, ATTACH.skLookup);
}

function queryPrograms(target: number, hook: number): readonly number[] {
  const ids = Buffer.alloc(4 * 64);
  const attr = Buffer.alloc(64);
  attr.writeUInt32LE(target, 0);
  attr.writeUInt32LE(hook, 4);
  attr.writeBigUInt64LE(addressOf(ids), 16);
  attr.writeUInt32LE(64, 24);
  call("progQuery", attr);
  return Array.from({ length: attr.readUInt32LE(24) }, (_, i) => ids.readUInt32LE(4 * i));
}

function objectInfo(fd: number, size: number): Buffer {
  const info = Buffer.alloc(size);
  const attr = Buffer.alloc(16);
  attr.writeUInt32LE(fd, 0);
  attr.writeUInt32LE(size, 4);
  attr.writeBigUInt64LE(addressOf(info), 8);
  call("objInfo", attr);
  return info;
}

function loadIntBtf(): number {
  const blob = encodeIntBtf();
  const attr = Buffer.alloc(32);
  attr.writeBigUInt64LE(addressOf(blob), 0);
  attr.writeUInt32LE(blob.length, 16);
  return call("btfLoad", attr);
}

function elementAttr(map: number, key: Uint8Array, value?: Uint8Array): Buffer {
  const attr = Buffer.alloc(32);
  attr.writeUInt32LE(map, 0);
  attr.writeBigUInt64LE(addressOf(key), 8);
  if (value !== undefined) attr.writeBigUInt64LE(addressOf(value), 16);
  return attr;
}

function linkAttr(program: number, target: number, attachType: number, flags: number): Buffer {
  const attr = Buffer.alloc(64);
  attr.writeUInt32LE(program, 0);
  attr.writeUInt32LE(target, 4);
  attr.writeUInt32LE(attachType, 8);
  attr.writeUInt32LE(flags, 12);
  return attr;
}

/** Kernel names have at most 15 characters of [A-Za-z0-9_.]. */
function writeName(attr: Buffer, name: string, offset: number): void {
  attr.write(name.replace(/[^A-Za-z0-9_.]/g, "_").slice(0, 15), offset, "latin1");
}

function call(command: keyof typeof COMMAND, attr: Buffer, detail?: string): number {
  return check(
    libc().syscallWithMemory(BPF_SYSCALL, COMMAND[command], attr, attr.length),
    `bpf ${command}`,
    detail,
  );
}

/** As `call`, but undefined for one expected errno. */
function callOr(command: keyof typeof COMMAND, attr: Buffer, expected: string): number | undefined {
  try {
    return call(command, attr);
  } catch (error) {
    if (isErrno(error, expected)) return undefined;
    throw error;
  }
}
