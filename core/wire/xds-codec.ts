/** Pure. Delta xDS messages (envoy.service.discovery.v3), as far as ambient uses them. */
import type { Parsed } from "../base/parse-result.ts";
import { byteOrder } from "./byte-order.ts";
import type { JsonObject } from "./json-value.ts";
import {
  append,
  type FieldReaders,
  parseMessage,
  type ProtoReader,
  readFields,
  WireError,
} from "./proto-reader.ts";
import { ProtoWriter } from "./proto-writer.ts";
import { readStruct, writeStruct } from "./struct-codec.ts";

export const DELTA_STREAM_PATH =
  "/envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources";
/** What a server accepts. */
export const MAX_DELTA_REQUEST_BYTES = 32 * 1024 * 1024;
/** What a client accepts: about 500,000 workloads. */
export const MAX_DELTA_RESPONSE_BYTES = 200 * 1024 * 1024;
const MAX_NAMES = 2_000_000;
const MAX_MESSAGE_TEXT_BYTES = 1024 * 1024;
const NO_BYTES = new Uint8Array(0);

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
  /** Type of `body`; "" when the resource has no body. */
  readonly typeUrl: string;
  /** A view into the response, which it keeps alive: decode it, do not store it. */
  readonly body: Uint8Array;
}

export interface DeltaResponse {
  readonly systemVersion: string;
  readonly typeUrl: string;
  readonly nonce: string;
  readonly resources: readonly XdsResource[];
  readonly removed: readonly string[];
}

export function encodeDeltaRequest(request: DeltaRequest): Uint8Array {
  const writer = new ProtoWriter(1024);
  if (request.error !== undefined) writeStatus(writer, request.error);
  writer.string(6, request.responseNonce);
  const versions = [...request.initialResourceVersions].toSorted(([a], [b]) => byteOrder(b, a));
  for (const [name, version] of versions) {
    const mark = writer.mark();
    writer.string(2, version);
    writer.stringElement(1, name);
    writer.message(5, mark);
  }
  writer.strings(4, request.unsubscribe);
  writer.strings(3, request.subscribe);
  writer.string(2, request.typeUrl);
  if (request.node !== undefined) writeNode(writer, request.node);
  return writer.finish();
}

function writeNode(writer: ProtoWriter, node: XdsNode): void {
  const mark = writer.mark();
  writer.string(5, node.buildVersion);
  writeStruct(writer, 3, node.metadata);
  writer.string(2, node.cluster);
  writer.string(1, node.id);
  writer.message(1, mark);
}

/** google.rpc.Status. */
function writeStatus(writer: ProtoWriter, error: { readonly code: number; readonly message: string }): void {
  const mark = writer.mark();
  writer.string(2, error.message);
  writer.uint(1, error.code);
  writer.message(7, mark);
}

interface RequestDraft {
  node: XdsNode | undefined;
  typeUrl: string;
  readonly subscribe: string[];
  readonly unsubscribe: string[];
  readonly initialResourceVersions: Map<string, string>;
  responseNonce: string;
  error: { code: number; message: string } | undefined;
}

const REQUEST_FIELDS: FieldReaders<RequestDraft> = {
  1: (d, r) => (d.node = readNode(r.message())),
  2: (d, r) => (d.typeUrl = r.string()),
  3: (d, r) => append(d.subscribe, r.string(), MAX_NAMES),
  4: (d, r) => append(d.unsubscribe, r.string(), MAX_NAMES),
  5: (d, r) => readVersion(d.initialResourceVersions, r.message()),
  6: (d, r) => (d.responseNonce = r.string()),
  7: (d, r) => (d.error = readStatus(r.message())),
};

export function decodeDeltaRequest(bytes: Uint8Array): Parsed<DeltaRequest> {
  return parseMessage(bytes, MAX_DELTA_REQUEST_BYTES, (reader) => {
    const draft: RequestDraft = {
      node: undefined,
      typeUrl: "",
      subscribe: [],
      unsubscribe: [],
      initialResourceVersions: new Map(),
      responseNonce: "",
      error: undefined,
    };
    return readFields(reader, REQUEST_FIELDS, draft);
  });
}

function readNode(reader: ProtoReader): XdsNode {
  return readFields(
    reader,
    {
      1: (d, r) => (d.id = r.string()),
      2: (d, r) => (d.cluster = r.string()),
      3: (d, r) => (d.metadata = readStruct(r.message())),
      5: (d, r) => (d.buildVersion = r.string()),
    },
    { id: "", cluster: "", metadata: {} as JsonObject, buildVersion: "" },
  );
}

function readVersion(versions: Map<string, string>, reader: ProtoReader): void {
  const draft = { name: "", version: "" };
  readFields(reader, { 1: (d, r) => (d.name = r.string()), 2: (d, r) => (d.version = r.string()) }, draft);
  if (versions.size >= MAX_NAMES) throw new WireError("initial_resource_versions", "has too many entries");
  versions.set(draft.name, draft.version);
}

function readStatus(reader: ProtoReader): { code: number; message: string } {
  return readFields(
    reader,
    { 1: (d, r) => (d.code = r.uint32()), 2: (d, r) => (d.message = r.string(MAX_MESSAGE_TEXT_BYTES)) },
    { code: 0, message: "" },
  );
}

export function encodeDeltaResponse(response: DeltaResponse): Uint8Array {
  return encodeDeltaResponseFromEntries(response, response.resources.map(encodeResourceEntry));
}

/** One `resources` entry of a response, tag included: encoded once, put into many responses. */
export function encodeResourceEntry(resource: XdsResource): Uint8Array {
  const writer = new ProtoWriter(512 + resource.body.length);
  const mark = writer.mark();
  writer.strings(4, resource.aliases);
  writer.string(3, resource.name);
  if (resource.typeUrl !== "") {
    const any = writer.mark();
    if (resource.body.length > 0) writer.bytes(2, resource.body);
    writer.string(1, resource.typeUrl);
    writer.message(2, any);
  }
  writer.string(1, resource.version);
  writer.message(2, mark);
  return writer.finish();
}

/** A response from entries made by `encodeResourceEntry`. */
export function encodeDeltaResponseFromEntries(
  head: Omit<DeltaResponse, "resources">,
  entries: readonly Uint8Array[],
): Uint8Array {
  const writer = new ProtoWriter(1024 + entries.reduce((sum, entry) => sum + entry.length, 0));
  writer.strings(6, head.removed);
  writer.string(5, head.nonce);
  writer.string(4, head.typeUrl);
  for (let i = entries.length - 1; i >= 0; i--) writer.raw(entries[i] ?? NO_BYTES);
  writer.string(1, head.systemVersion);
  return writer.finish();
}

interface ResponseDraft {
  systemVersion: string;
  typeUrl: string;
  nonce: string;
  readonly resources: XdsResource[];
  readonly removed: string[];
}

const RESPONSE_FIELDS: FieldReaders<ResponseDraft> = {
  1: (d, r) => (d.systemVersion = r.string()),
  2: (d, r) => append(d.resources, readResource(r.message()), MAX_NAMES),
  4: (d, r) => (d.typeUrl = r.string()),
  5: (d, r) => (d.nonce = r.string()),
  6: (d, r) => append(d.removed, r.string(), MAX_NAMES),
};

export function decodeDeltaResponse(bytes: Uint8Array): Parsed<DeltaResponse> {
  return parseMessage(bytes, MAX_DELTA_RESPONSE_BYTES, (reader) => {
    const draft: ResponseDraft = { systemVersion: "", typeUrl: "", nonce: "", resources: [], removed: [] };
    return readFields(reader, RESPONSE_FIELDS, draft);
  });
}

function readResource(reader: ProtoReader): XdsResource {
  const draft = { name: "", version: "", aliases: [] as string[], typeUrl: "", body: NO_BYTES as Uint8Array };
  return readFields(
    reader,
    {
      1: (d, r) => (d.version = r.string()),
      2: (d, r) => readAny(d, r.message()),
      3: (d, r) => (d.name = r.string()),
      4: (d, r) => append(d.aliases, r.string()),
    },
    draft,
  );
}

function readAny(draft: { typeUrl: string; body: Uint8Array }, reader: ProtoReader): void {
  readFields(
    reader,
    {
      1: (d, r) => (d.typeUrl = r.string()),
      2: (d, r) => (d.body = r.bytes(MAX_DELTA_RESPONSE_BYTES)),
    },
    draft,
  );
}
