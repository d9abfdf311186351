/**
 * The C library's calls that Node lacks, bound on first use: importing this file costs nothing and needs nothing.
 * The only importer of koffi. Calls are synchronous; every caller checks the result with `check`.
 */
import { createRequire } from "node:module";
import type koffiTypes from "koffi";
import { AmbitError } from "../runtime/errors.ts";
import { LINUX_LIBC_MISSING, SystemCallError } from "./system-call-error.ts";

/** Memory handed to the kernel; written in place by calls that answer. */
export type Memory = Uint8Array | null;

// oxlint-disable max-params -- these are the parameters of the system calls
export interface Libc {
  readonly socket: (domain: number, type: number, protocol: number) => number;
  readonly bind: (fd: number, address: Memory, length: number) => number;
  readonly listen: (fd: number, backlog: number) => number;
  readonly accept4: (fd: number, address: Memory, length: Memory, flags: number) => number;
  readonly connect: (fd: number, address: Memory, length: number) => number;
  readonly getsockname: (fd: number, address: Memory, length: Memory) => number;
  readonly getpeername: (fd: number, address: Memory, length: Memory) => number;
  readonly setsockopt: (fd: number, level: number, option: number, value: Memory, length: number) => number;
  readonly getsockopt: (fd: number, level: number, option: number, value: Memory, length: Memory) => number;
  readonly sendmsg: (fd: number, header: Memory, flags: number) => number;
  readonly recvmsg: (fd: number, header: Memory, flags: number) => number;
  readonly send: (fd: number, bytes: Memory, length: number, flags: number) => number;
  readonly recv: (fd: number, bytes: Memory, length: number, flags: number) => number;
  readonly sendto: (
    fd: number,
    bytes: Memory,
    length: number,
    flags: number,
    address: Memory,
    addressLength: number,
  ) => number;
  readonly shutdown: (fd: number, how: number) => number;
  readonly setns: (fd: number, kind: number) => number;
  readonly unshare: (flags: number) => number;
  readonly ioctl: (fd: number, request: number, argument: Memory) => number;
  readonly mount: (
    source: string,
    target: string,
    type: string | null,
    flags: number,
    data: string | null,
  ) => number;
  readonly umount2: (target: string, flags: number) => number;
  /** `syscall(number, int, pointer, long)`: the shape of bpf(2). */
  readonly syscallWithMemory: (number: number, a: number, memory: Memory, c: number) => number;
  /** `syscall(number, long, long, long)`. */
  readonly syscallNumbers: (number: number, a: number, b: number, c: number) => number;
}

// oxlint-enable max-params

export interface PollHandle {
  stop(): void;
  close(): void;
  ref(): void;
  unref(): void;
  start(interest: PollInterest, onReady: () => void): void;
}

export interface PollInterest {
  readonly readable?: boolean;
  readonly writable?: boolean;
}

const DECLARATIONS: Readonly<Record<keyof Libc, string>> = {
  socket: "int socket(int, int, int)",
  bind: "int bind(int, void*, int)",
  listen: "int listen(int, int)",
  accept4: "int accept4(int, void*, void*, int)",
  connect: "int connect(int, void*, int)",
  getsockname: "int getsockname(int, void*, void*)",
  getpeername: "int getpeername(int, void*, void*)",
  setsockopt: "int setsockopt(int, int, int, void*, int)",
  getsockopt: "int getsockopt(int, int, int, void*, void*)",
  sendmsg: "long sendmsg(int, void*, int)",
  recvmsg: "long recvmsg(int, void*, int)",
  send: "long send(int, void*, size_t, int)",
  recv: "long recv(int, void*, size_t, int)",
  sendto: "long sendto(int, void*, size_t, int, void*, int)",
  shutdown: "int shutdown(int, int)",
  setns: "int setns(int, int)",
  unshare: "int unshare(int)",
  ioctl: "int ioctl(int, ulong, void*)",
  mount: "int mount(str, str, str, ulong, str)",
  umount2: "int umount2(str, int)",
  syscallWithMemory: "long syscall(long, long, void*, long)",
  syscallNumbers: "long syscall(long, long, long, long)",
};

interface Loaded {
  readonly koffi: typeof koffiTypes;
  readonly libc: Libc;
}

let loaded: Loaded | undefined;

/** The bindings; throws `LINUX_LIBC_MISSING` with what to do when this machine has no usable libc or koffi. */
export function libc(): Libc {
  return (loaded ??= load()).libc;
}

/** errno of the last failed call on this thread. */
export function errno(): number {
  return (loaded ??= load()).koffi.errno();
}

/** Returns `result`, or throws a SystemCallError when it is negative. Call it before any other libc call. */
export function check(result: number, call: string, detail?: string): number {
  if (result < 0) throw new SystemCallError(call, errno(), detail);
  return result;
}

/** Buffers whose addresses were taken last: they stay reachable until long after the call that uses the address. */
const recentlyAddressed: (Uint8Array | undefined)[] = Array<undefined>(64).fill(undefined);
let nextAddressed = 0;

/** Address of the bytes, for structures that hold pointers. Valid for the system call that follows, not longer. */
export function addressOf(bytes: Uint8Array): bigint {
  recentlyAddressed[nextAddressed++ % recentlyAddressed.length] = bytes;
  return (loaded ??= load()).koffi.address(bytes);
}

export type ForeignFunction = (...values: readonly unknown[]) => unknown;

/** Functions that this program itself exports, as those of the OpenSSL inside Node; throws when one is not there. */
export function programFunctions<Name extends string>(
  declarations: Readonly<Record<Name, string>>,
): Readonly<Record<Name, ForeignFunction>> {
  const program = (loaded ??= load()).koffi.load(null);
  const entries = Object.entries<string>(declarations).map(([name, text]) => [name, program.func(text)]);
  return Object.fromEntries(entries) as Record<Name, ForeignFunction>;
}

/**
 * Readiness of a descriptor that Node has no stream for (libuv's uv_poll; level-triggered). Close it before the fd.
 * koffi calls back without a turn of the microtask queue after it, therefore `onReady` runs in the check phase of the
 * same loop iteration; never after `stop` or `close`.
 */
export function pollFd(fd: number, interest: PollInterest, onReady: () => void): PollHandle {
  const koffi = (loaded ??= load()).koffi;
  let generation = 0;
  const later = (callback: () => void): (() => void) => {
    const mine = ++generation;
    return () =>
      void setImmediate(() => {
        if (mine === generation) callback();
      });
  };
  const handle = koffi.node.poll(fd, interest, later(onReady));
  return {
    start: (next, callback) => handle.start(next, later(callback)),
    stop: () => {
      generation++;
      handle.stop();
    },
    close: () => {
      generation++;
      handle.close();
    },
    ref: () => handle.ref(),
    unref: () => handle.unref(),
  };
}

function load(): Loaded {
  if (process.platform !== "linux")
    throw new AmbitError(LINUX_LIBC_MISSING, `Ambit's data plane needs Linux; this is ${process.platform}`);
  try {
    const koffi = createRequire(import.meta.url)("koffi") as typeof koffiTypes;
    const library = koffi.load("libc.so.6");
    const entries = Object.entries(DECLARATIONS).map(([name, declaration]) => [
      name,
      library.func(declaration),
    ]);
    return { koffi, libc: Object.fromEntries(entries) as Libc };
  } catch (error) {
    throw new AmbitError(
      LINUX_LIBC_MISSING,
      `cannot bind the C library (glibc's libc.so.6 through the npm package koffi on ${process.arch}): run npm install again`,
      { cause: error },
    );
  }
}
