/**
 * HOT PATH. Requests of libuv writes and shutdowns. A request is never used again in its own completion (the process
 * would die). Requests, like wraps, outlive their use until the next full collection, since C++ holds them: on
 * completion they let go of everything, or each would keep its whole connection (measured: a third of the rate of
 * new connections).
 */
import type { RawBindings, ShutdownRequest, WriteRequest } from "./raw-bindings.ts";

/** Who is told. */
export interface RequestOwner {
  onWritten(status: number, byteCount: number): void;
  onFinSent(status: number): void;
}

const OWNER = Symbol("request owner");

export interface OwnedRequest extends WriteRequest {
  [OWNER]?: RequestOwner | undefined;
  byteCount?: number;
}

interface OwnedShutdown extends ShutdownRequest {
  [OWNER]?: RequestOwner | undefined;
}

/** A write that ended synchronously frees its request at once: one spare serves the whole process. */
let spare: OwnedRequest | undefined;

export function takeRequest(bindings: RawBindings, owner: RequestOwner): OwnedRequest {
  const request: OwnedRequest = spare ?? bindings.newWriteRequest();
  spare = undefined;
  request[OWNER] = owner;
  request.oncomplete = onWriteComplete;
  return request;
}

export function giveBackRequest(request: OwnedRequest): void {
  request[OWNER] = undefined;
  spare = request;
}

export function newShutdown(bindings: RawBindings, owner: RequestOwner): ShutdownRequest {
  const request: OwnedShutdown = bindings.newShutdownRequest();
  request[OWNER] = owner;
  request.oncomplete = onShutdownComplete;
  return request;
}

function onShutdownComplete(this: OwnedShutdown, status: number): void {
  const owner = this[OWNER];
  this[OWNER] = undefined;
  owner?.onFinSent(status);
}

function onWriteComplete(this: OwnedRequest, status: number): void {
  const owner = this[OWNER];
  this[OWNER] = undefined;
  this.held = undefined;
  owner?.onWritten(status, this.byteCount ?? 0);
}
