/** The one failure of this layer: a system call that said no. `errnoName` decides, `message` tells. */
import { constants } from "node:os";
import { AmbitError } from "../runtime/errors.ts";

export const LINUX_SYSCALL_FAILED = "LINUX_SYSCALL_FAILED";
export const LINUX_LIBC_MISSING = "LINUX_LIBC_MISSING";

export class SystemCallError extends AmbitError {
  readonly errno: number;
  /** `EPERM`, `ENOENT`, ... */
  readonly errnoName: string;

  constructor(call: string, errno: number, detail = "") {
    const name = errnoName(errno);
    super(LINUX_SYSCALL_FAILED, `${call}: ${name}${detail === "" ? "" : ` (${detail})`}`, {
      fields: { call, errno: name },
    });
    this.errno = errno;
    this.errnoName = name;
  }
}

/** Whether `error` is a failed system call (of this layer or of Node) with one of these names. */
export function isErrno(error: unknown, ...names: readonly string[]): boolean {
  if (error instanceof SystemCallError) return names.includes(error.errnoName);
  if (!(error instanceof Error)) return false;
  const code = (error as NodeJS.ErrnoException).code;
  return code !== undefined && names.includes(code);
}

const NAMES: ReadonlyMap<number, string> = new Map(
  Object.entries(constants.errno).map(([name, number]) => [number, name]),
);
/** Aliases that share a number: one name is used throughout. */
const PREFERRED: Readonly<Record<number, string>> = { 11: "EAGAIN", 95: "EOPNOTSUPP" };

/** Name of a Linux error number, for example 115 `EINPROGRESS`. */
export function errnoName(errno: number): string {
  return PREFERRED[errno] ?? NAMES.get(errno) ?? `errno ${errno}`;
}
