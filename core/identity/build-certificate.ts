/** Certificates as DER and PEM: structures by node-forge, signatures by node:crypto. Shared by every CA of ours. */
import type { KeyObject } from "node:crypto";
import type { SpiffeId } from "../model/spiffe-id.ts";

/** A CA that can sign: its certificate and its private key (secret). */
export interface SigningCa {
  readonly certificatePem: string;
  readonly key: KeyObject;
}

export interface LeafOptions {
  readonly identity: SpiffeId;
  /** SubjectPublicKeyInfo, DER. */
  readonly publicKeyDer: Uint8Array;
  readonly notBeforeMs: number;
  readonly notAfterMs: number;
}

/** A workload's leaf: our URI alone, CA:false, both EKUs, empty subject, random 128-bit serial. Returns PEM. */
export function buildLeaf(_ca: SigningCa, _options: LeafOptions): string {
  throw new Error("not built yet");
}

export interface RootOptions {
  readonly organization: string;
  readonly notBeforeMs: number;
  readonly notAfterMs: number;
}

/** A self-signed P-256 root over `key`. Returns PEM. */
export function buildRoot(_key: KeyObject, _options: RootOptions): string {
  throw new Error("not built yet");
}

export interface ServerLeafOptions {
  readonly dnsNames: readonly string[];
  readonly publicKeyDer: Uint8Array;
  readonly notBeforeMs: number;
  readonly notAfterMs: number;
}

/** The controller's own server certificate: DNS names, serverAuth. Returns PEM. */
export function buildServerLeaf(_ca: SigningCa, _options: ServerLeafOptions): string {
  throw new Error("not built yet");
}
