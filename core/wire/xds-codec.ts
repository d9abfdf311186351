/** Pure. Delta xDS messages (envoy.service.discovery.v3), as far as ambient uses them. */
import type { Parsed } from "../base/parse-result.ts";
import type { JsonObject } from "./json-value.ts";

export const DELTA_STREAM_PATH =
  "/envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources";

export interface XdsNode {
  readonly id: string;
  readonly cluster: string;
  readonly metadata: JsonObject;
  readonly buildVersion: string;
}

export interface DeltaRequest {
  /** Only on the first request of a stream and type. */
  readonly node: XdsNode | undefined;
  readonly typeUrl: string;
  readonly subscribe: readonly string[];
  readonly unsubscribe: readonly string[];
  readonly initialResourceVersions: ReadonlyMap<string, string>;
  /** "" when the request answers nothing. */
  readonly responseNonce: string;
  /** Present: the response with that nonce is rejected. */
  readonly error: { readonly code: number; readonly message: string } | undefined;
}

export interface XdsResource {
  readonly name: string;
  readonly version: string;
  readonly aliases: readonly string[];
  /** Type of `body`; undefined when the resource has no body. */
  readonly typeUrl: string;
  readonly body: Uint8Array;
}

export interface DeltaResponse {
  readonly systemVersion: string;
  readonly typeUrl: string;
  readonly nonce: string;
  readonly resources: readonly XdsResource[];
  readonly removed: readonly string[];
}

export function encodeDeltaRequest(_request: DeltaRequest): Uint8Array {
  throw new Error("not built yet");
}

export function decodeDeltaRequest(_bytes: Uint8Array): Parsed<DeltaRequest> {
  throw new Error("not built yet");
}

export function encodeDeltaResponse(_response: DeltaResponse): Uint8Array {
  throw new Error("not built yet");
}

export function decodeDeltaResponse(_bytes: Uint8Array): Parsed<DeltaResponse> {
  throw new Error("not built yet");
}

/** One `resources` entry of a response, tag included: encoded once, put into many responses. */
export function encodeResourceEntry(_resource: XdsResource): Uint8Array {
  throw new Error("not built yet");
}

/** A response from entries made by `encodeResourceEntry`. */
export function encodeDeltaResponseFromEntries(
  _head: Omit<DeltaResponse, "resources">,
  _entries: readonly Uint8Array[],
): Uint8Array {
  throw new Error("not built yet");
}
