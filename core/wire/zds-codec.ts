/** Pure. Pod announcements between node agent and ztunnel (Istio's zds.proto), one message per packet. */
import type { Parsed } from "../base/parse-result.ts";
import type { PodUid } from "../model/ids.ts";
import { parseMessage, type ProtoReader, readFields, WireError } from "./proto-reader.ts";
import { ProtoWriter } from "./proto-writer.ts";

/** Both sides read into a buffer of this size; a longer message is a protocol error. */
export const MAX_ZDS_MESSAGE_BYTES = 1024;
const VERSION_1 = 1;
/** Longer texts are cut when written, so that an acknowledgement always fits its packet. */
const MAX_ERROR_BYTES = 900;

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
  const writer = new ProtoWriter(16);
  writer.uint(1, VERSION_1);
  return writer.finish();
}

/** Accepts version 1 only. */
export function decodeZdsHello(bytes: Uint8Array): Parsed<{ readonly version: 1 }> {
  return parseMessage(bytes, MAX_ZDS_MESSAGE_BYTES, (reader) => {
    const { version } = readFields(reader, { 1: (d, r) => (d.version = r.uint32()) }, { version: 0 });
    if (version !== VERSION_1)
      throw new WireError("version", `is ${version}; only ${VERSION_1} is spoken here`);
    return { version };
  });
}

export function encodeZdsRequest(request: ZdsRequest): Uint8Array {
  const writer = new ProtoWriter(256);
  const mark = writer.mark();
  switch (request.kind) {
    case "add":
      writeWorkloadInfo(writer, request.workload);
      writer.string(1, request.uid);
      writer.message(1, mark);
      break;
    case "delete":
      // The uid of a deletion is field 2, that of the others field 1.
      writer.string(2, request.uid);
      writer.message(2, mark);
      break;
    case "snapshot-sent":
      writer.message(3, mark);
      break;
    case "keep":
      writer.string(1, request.uid);
      writer.message(5, mark);
      break;
  }
  return writer.finish();
}

function writeWorkloadInfo(writer: ProtoWriter, info: ZdsWorkloadInfo): void {
  const mark = writer.mark();
  writer.string(3, info.serviceAccount);
  writer.string(2, info.namespace);
  writer.string(1, info.name);
  writer.message(2, mark);
}

export function decodeZdsRequest(bytes: Uint8Array): Parsed<ZdsRequest> {
  return parseMessage(bytes, MAX_ZDS_MESSAGE_BYTES, (reader) => {
    const draft = { request: undefined as ZdsRequest | undefined };
    readFields(
      reader,
      {
        1: (d, r) => (d.request = readAdd(r.message())),
        2: (d, r) => (d.request = { kind: "delete", uid: readUid(r.message(), 2) }),
        3: (d, r) => (d.request = readSnapshotSent(r.message())),
        5: (d, r) => (d.request = { kind: "keep", uid: readUid(r.message(), 1) }),
      },
      draft,
    );
    if (draft.request === undefined) throw new WireError("", "is no known request");
    return draft.request;
  });
}

function readAdd(reader: ProtoReader): ZdsRequest {
  const draft = { uid: "", workload: undefined as ZdsWorkloadInfo | undefined };
  readFields(
    reader,
    { 1: (d, r) => (d.uid = r.string()), 2: (d, r) => (d.workload = readWorkloadInfo(r.message())) },
    draft,
  );
  if (draft.workload === undefined) throw new WireError("add.workload_info", "is missing");
  return { kind: "add", uid: nonEmptyUid(draft.uid), workload: draft.workload };
}

function readWorkloadInfo(reader: ProtoReader): ZdsWorkloadInfo {
  return readFields(
    reader,
    {
      1: (d, r) => (d.name = r.string()),
      2: (d, r) => (d.namespace = r.string()),
      3: (d, r) => (d.serviceAccount = r.string()),
    },
    { name: "", namespace: "", serviceAccount: "" },
  );
}

function readUid(reader: ProtoReader, field: number): PodUid {
  const draft = { uid: "" };
  readFields(reader, { [field]: (d: typeof draft, r: ProtoReader) => (d.uid = r.string()) }, draft);
  return nonEmptyUid(draft.uid);
}

function nonEmptyUid(uid: string): PodUid {
  if (uid === "") throw new WireError("uid", "is empty");
  return uid as PodUid;
}

function readSnapshotSent(reader: ProtoReader): ZdsRequest {
  readFields(reader, {}, {});
  return { kind: "snapshot-sent" };
}

export function encodeZdsAck(ack: ZdsAck): Uint8Array {
  const writer = new ProtoWriter(64);
  const mark = writer.mark();
  writer.string(1, clip(ack.error));
  writer.message(1, mark);
  return writer.finish();
}

/** Cuts at a character, not inside one. */
function clip(text: string): string {
  if (Buffer.byteLength(text) <= MAX_ERROR_BYTES) return text;
  return Buffer.from(text)
    .subarray(0, MAX_ERROR_BYTES)
    .toString("utf8")
    .replace(/\ufffd+$/, "");
}

export function decodeZdsAck(bytes: Uint8Array): Parsed<ZdsAck> {
  return parseMessage(bytes, MAX_ZDS_MESSAGE_BYTES, (reader) => {
    const draft = { ack: undefined as ZdsAck | undefined };
    readFields(reader, { 1: (d, r) => (d.ack = readAck(r.message())) }, draft);
    if (draft.ack === undefined) throw new WireError("", "is no known response");
    return draft.ack;
  });
}

function readAck(reader: ProtoReader): ZdsAck {
  return readFields(reader, { 1: (d, r) => (d.error = r.string()) }, { error: "" });
}
