/** Pure. Pod announcements between node agent and ztunnel (Istio's zds.proto), one message per packet. */
import type { Parsed } from "../base/parse-result.ts";
import type { PodUid } from "../model/ids.ts";

/** Both sides read into a buffer of this size; a longer message is a protocol error. */
export const MAX_ZDS_MESSAGE_BYTES = 1024;

export interface ZdsWorkloadInfo {
  readonly name: string;
  readonly namespace: string;
  readonly serviceAccount: string;
}

export type ZdsRequest =
  /** Travels with exactly one file descriptor: the pod's network namespace. */
  | { readonly kind: "add"; readonly uid: PodUid; readonly workload: ZdsWorkloadInfo }
  | { readonly kind: "keep"; readonly uid: PodUid }
  | { readonly kind: "delete"; readonly uid: PodUid }
  | { readonly kind: "snapshot-sent" };

/** Empty error: done. */
export interface ZdsAck {
  readonly error: string;
}

export function encodeZdsHello(): Uint8Array {
  throw new Error("not built yet");
}

/** Accepts version 1 only. */
export function decodeZdsHello(_bytes: Uint8Array): Parsed<{ readonly version: 1 }> {
  throw new Error("not built yet");
}

export function encodeZdsRequest(_request: ZdsRequest): Uint8Array {
  throw new Error("not built yet");
}

export function decodeZdsRequest(_bytes: Uint8Array): Parsed<ZdsRequest> {
  throw new Error("not built yet");
}

export function encodeZdsAck(_ack: ZdsAck): Uint8Array {
  throw new Error("not built yet");
}

export function decodeZdsAck(_bytes: Uint8Array): Parsed<ZdsAck> {
  throw new Error("not built yet");
}
