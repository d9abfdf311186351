/**
 * The libuv wraps behind node:net, reached through `process.binding`: deprecated (DEP0111) and untyped, so everything
 * that is used of them is named here, and probed before use. Misuse of a wrap kills the process without an exception:
 * only the `raw-*.ts` files of this folder call them.
 */
import { AmbitError } from "../runtime/errors.ts";
import { HANDLE_RAW_UNAVAILABLE } from "./handle-errors.ts";

export interface WriteRequest {
  oncomplete: ((status: number) => void) | undefined;
  /** Keeps the written memory alive until `oncomplete`: libuv holds only a pointer. */
  held: unknown;
}

export interface ShutdownRequest {
  oncomplete: (status: number) => void;
}

export interface StreamWrap {
  onread: ((this: StreamWrap) => Uint8Array | undefined) | undefined;
  useUserBuffer(buffer: Uint8Array): void;
  readStart(): number;
  readStop(): number;
  writeBuffer(request: WriteRequest, bytes: Uint8Array): number;
  writev(request: WriteRequest, pieces: readonly Uint8Array[], allBuffers: true): number;
  shutdown(request: ShutdownRequest): number;
  close(done?: (this: StreamWrap) => void): void;
}

export interface AddressOut {
  address?: string;
  port?: number;
  family?: string;
}

export interface ConnectRequestWrap {
  oncomplete: (status: number) => void;
}

export interface TcpWrap extends StreamWrap {
  readonly fd: number;
  onconnection: ((status: number, client: TcpWrap) => void) | undefined;
  open(fd: number): number;
  bind(ip: string, port: number): number;
  bind6(ip: string, port: number, flags: number): number;
  listen(backlog: number): number;
  connect(request: ConnectRequestWrap, ip: string, port: number): number;
  connect6(request: ConnectRequestWrap, ip: string, port: number): number;
  reset(done: (this: StreamWrap) => void): number;
  getsockname(out: AddressOut): number;
  getpeername(out: AddressOut): number;
  setNoDelay(on: boolean): number;
  setKeepAlive(on: boolean, delaySeconds: number): number;
}

export interface RawBindings {
  readonly newSocket: () => TcpWrap;
  readonly newServer: () => TcpWrap;
  readonly newConnectRequest: () => ConnectRequestWrap;
  readonly newWriteRequest: () => WriteRequest;
  readonly newShutdownRequest: () => ShutdownRequest;
  /** Outcome registers of the last call, written by C++. */
  readonly state: Int32Array;
  /** Index in `state`: bytes read or error of the running `onread`. */
  readonly readResult: number;
  /** Index in `state`: whether the last write has not finished yet. */
  readonly writeWasAsync: number;
}

interface TcpBinding {
  readonly TCP: new (type: number) => TcpWrap;
  readonly TCPConnectWrap: new () => ConnectRequestWrap;
  readonly constants: { readonly SOCKET: number; readonly SERVER: number };
}

interface StreamBinding {
  readonly WriteWrap: new () => WriteRequest;
  readonly ShutdownWrap: new () => ShutdownRequest;
  readonly streamBaseState: Int32Array;
  readonly kReadBytesOrError: number;
  readonly kLastWriteWasAsync: number;
}

const STREAM_METHODS = [
  "useUserBuffer",
  "readStart",
  "readStop",
  "writeBuffer",
  "writev",
  "shutdown",
  "close",
] as const;
const TCP_METHODS = [
  "open",
  "bind",
  "bind6",
  "listen",
  "connect",
  "connect6",
  "reset",
  "getsockname",
  "getpeername",
  "setNoDelay",
  "setKeepAlive",
] as const;

/** Loads and checks the wraps. Throws HANDLE_RAW_UNAVAILABLE naming what is missing. */
export function loadRawBindings(): RawBindings {
  try {
    return probeRawBindings();
  } catch (cause) {
    if (cause instanceof AmbitError) throw cause;
    throw new AmbitError(HANDLE_RAW_UNAVAILABLE, `this Node has no usable libuv wraps: ${String(cause)}`, {
      cause,
    });
  }
}

function probeRawBindings(): RawBindings {
  const tcp = binding("tcp_wrap") as TcpBinding;
  const stream = binding("stream_wrap") as StreamBinding;
  const sample = new tcp.TCP(tcp.constants.SOCKET) as unknown as Record<string, unknown>;
  const missing = [...STREAM_METHODS, ...TCP_METHODS].filter((name) => typeof sample[name] !== "function");
  (sample as unknown as TcpWrap).close();
  const state = stream.streamBaseState;
  const indices = [stream.kReadBytesOrError, stream.kLastWriteWasAsync];
  const usable = ArrayBuffer.isView(state) && indices.every((index) => index >= 0 && index < state.length);
  if (missing.length > 0 || !usable) {
    throw new AmbitError(
      HANDLE_RAW_UNAVAILABLE,
      `libuv wraps lack ${missing.join(", ") || "their state array"}`,
    );
  }
  new stream.WriteWrap();
  new stream.ShutdownWrap();
  return {
    newSocket: () => new tcp.TCP(tcp.constants.SOCKET),
    newServer: () => new tcp.TCP(tcp.constants.SERVER),
    newConnectRequest: () => new tcp.TCPConnectWrap(),
    newWriteRequest: () => new stream.WriteWrap(),
    newShutdownRequest: () => new stream.ShutdownWrap(),
    state,
    readResult: stream.kReadBytesOrError,
    writeWasAsync: stream.kLastWriteWasAsync,
  };
}

/** Whether a TLS handle made by node:tls has the calls that the raw backend needs. */
export function isStreamWrap(value: unknown): value is StreamWrap {
  if (typeof value !== "object" || value === null) return false;
  const record = value as Record<string, unknown>;
  return STREAM_METHODS.every((name) => typeof record[name] === "function");
}

function binding(name: string): unknown {
  const load = (process as unknown as Record<string, unknown>)["binding"];
  if (typeof load !== "function") throw new AmbitError(HANDLE_RAW_UNAVAILABLE, "process.binding is gone");
  return (load as (this: NodeJS.Process, name: string) => unknown).call(process, name);
}
