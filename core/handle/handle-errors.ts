/** Errors of sockets, in one shape for both backends: `code` is the system's name (ECONNRESET) or one of ours. */
import { getSystemErrorName } from "node:util";
import { AmbitError } from "../runtime/errors.ts";

export const HANDLE_RESET = "HANDLE_RESET";
export const HANDLE_TLS_FAILED = "HANDLE_TLS_FAILED";
export const HANDLE_TLS_TIMEOUT = "HANDLE_TLS_TIMEOUT";
export const HANDLE_RAW_UNAVAILABLE = "HANDLE_RAW_UNAVAILABLE";
export const HANDLE_LISTEN_FAILED = "HANDLE_LISTEN_FAILED";
export const HANDLE_CALLBACK_FAILED = "HANDLE_CALLBACK_FAILED";

/** The error of a libuv status (negative errno). */
export function systemError(status: number, syscall: string): NodeJS.ErrnoException {
  const code = getSystemErrorName(status);
  const error: NodeJS.ErrnoException = new Error(`${syscall} ${code}`);
  error.code = code;
  error.errno = status;
  error.syscall = syscall;
  return error;
}

export function resetError(): AmbitError {
  return new AmbitError(HANDLE_RESET, "the connection was reset from this side");
}

/** An event callback threw: a bug, which ends this one connection and no other. */
export function callbackError(cause: unknown): AmbitError {
  return new AmbitError(HANDLE_CALLBACK_FAILED, `a connection's own code failed: ${String(cause)}`, {
    cause,
  });
}

export function connectTimeout(destination: string, ms: number): NodeJS.ErrnoException {
  const error: NodeJS.ErrnoException = new Error(`connect ETIMEDOUT ${destination} after ${ms} ms`);
  error.code = "ETIMEDOUT";
  error.syscall = "connect";
  return error;
}
