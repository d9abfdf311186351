/** Pure. google.protobuf.Struct: JSON inside protobuf. Keys are written sorted. */
import { byteOrder } from "./byte-order.ts";
import type { JsonObject, JsonValue } from "./json-value.ts";
import { append, type ProtoReader, readFields } from "./proto-reader.ts";
import type { ProtoWriter } from "./proto-writer.ts";

const MAX_TEXT_BYTES = 256 * 1024;

/** Writes the Struct as embedded message `field`; nothing for an empty object. */
export function writeStruct(writer: ProtoWriter, field: number, value: JsonObject): void {
  if (Object.keys(value).length === 0) return;
  const mark = writer.mark();
  writeEntries(writer, value);
  writer.message(field, mark);
}

function writeEntries(writer: ProtoWriter, value: JsonObject): void {
  for (const [key, item] of Object.entries(value).toSorted(([a], [b]) => byteOrder(b, a))) {
    const entry = writer.mark();
    const mark = writer.mark();
    writeValue(writer, item);
    writer.message(2, mark);
    writer.stringElement(1, key);
    writer.message(1, entry);
  }
}

function writeValue(writer: ProtoWriter, value: JsonValue): void {
  if (value === null) writer.uintElement(1, 0);
  else if (typeof value === "number") writer.doubleElement(2, value);
  else if (typeof value === "string") writer.stringElement(3, value);
  else if (typeof value === "boolean") writer.uintElement(4, value ? 1 : 0);
  else writeComposite(writer, value);
}

function writeComposite(writer: ProtoWriter, value: JsonObject | readonly JsonValue[]): void {
  const mark = writer.mark();
  if (!isList(value)) {
    writeEntries(writer, value);
    writer.message(5, mark);
    return;
  }
  for (const item of [...value].reverse()) {
    const inner = writer.mark();
    writeValue(writer, item);
    writer.message(1, inner);
  }
  writer.message(6, mark);
}

function isList(value: JsonObject | readonly JsonValue[]): value is readonly JsonValue[] {
  return Array.isArray(value);
}

export function readStruct(reader: ProtoReader): JsonObject {
  const entries: [string, JsonValue][] = [];
  readFields(reader, { 1: (list, r) => append(list, readEntry(r.message())) }, entries);
  // fromEntries defines own properties, so a key such as "__proto__" is only a key.
  return Object.fromEntries(entries);
}

function readEntry(reader: ProtoReader): [string, JsonValue] {
  const draft = { key: "", value: null as JsonValue };
  readFields(
    reader,
    { 1: (d, r) => (d.key = r.string()), 2: (d, r) => (d.value = readValue(r.message())) },
    draft,
  );
  return [draft.key, draft.value];
}

function readValue(reader: ProtoReader): JsonValue {
  const draft = { value: null as JsonValue };
  readFields(
    reader,
    {
      1: (d, r) => {
        r.uint32();
        d.value = null;
      },
      2: (d, r) => (d.value = r.double()),
      3: (d, r) => (d.value = r.string(MAX_TEXT_BYTES)),
      4: (d, r) => (d.value = r.bool()),
      5: (d, r) => (d.value = readStruct(r.message())),
      6: (d, r) => (d.value = readList(r.message())),
    },
    draft,
  );
  return draft.value;
}

function readList(reader: ProtoReader): readonly JsonValue[] {
  const items: JsonValue[] = [];
  readFields(reader, { 1: (list, r) => append(list, readValue(r.message())) }, items);
  return items;
}
