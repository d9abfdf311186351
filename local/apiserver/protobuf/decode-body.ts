/**
 * Pure. Bodies of `application/vnd.kubernetes.protobuf`: Go clients since 1.32 send them for built-in kinds, and take JSON answers.
 * `k8s\0`, then runtime.Unknown { typeMeta { apiVersion, kind }, raw }. Go writes every scalar, zero or not; `normalize` drops those
 * that JSON would have left out.
 */
import { badRequest, StatusError } from "../http/status-error.ts";
import type { JsonMap } from "../object.ts";
import { setOwn } from "../schema/prune.ts";
import { FIELD_TABLE } from "./field-table.gen.ts";
import { readFields, type WireField, type WireValue } from "./wire-reader.ts";

interface Field {
  readonly name: string;
  readonly type: string;
  readonly shape: "one" | "list" | "map";
}

const MAX_DEPTH = 64;
/** Embedded Go structs: their fields stand in the outer JSON object. */
const INLINE = new Set([
  "ingressRuleValue",
  "volumeSource",
  "localObjectReference",
  "handler",
  "ephemeralContainerCommon",
  "persistentVolumeSource",
]);
const messages = new Map<string, ReadonlyMap<number, Field>>();

for (const line of FIELD_TABLE) {
  const [name = "", ...fields] = line.split(" ");
  messages.set(name, new Map(fields.map((text) => parseField(text))));
}

function parseField(text: string): [number, Field] {
  const [name = "", number = "", type = ""] = text.split(":");
  const shape = type.startsWith("[") ? "list" : type.startsWith("{") ? "map" : "one";
  return [Number(number), { name, type: type.replace(/^[[{]/, ""), shape }];
}

export function decodeProtobufBody(body: Buffer): JsonMap {
  if (body.subarray(0, 4).toString("latin1") !== "k8s\0") {
    throw badRequest("provided data does not appear to be a protobuf message, expected prefix k8s");
  }
  const unknown = byNumber(readFields(body.subarray(4)));
  const typeMeta = byNumber(readFields(bytesOf(unknown.get(1))));
  const apiVersion = textOf(typeMeta.get(1));
  const kind = textOf(typeMeta.get(2));
  const group = apiVersion.includes("/") ? (apiVersion.split("/")[0]?.split(".")[0] ?? "") : "";
  const fields = message(group === "" ? kind : `${group}.${kind}`, bytesOf(unknown.get(2)), 0);
  return { apiVersion, kind, ...(fields as JsonMap) };
}

function byNumber(fields: readonly WireField[]): Map<number, WireValue> {
  return new Map(fields.map((field) => [field.number, field.value]));
}

function bytesOf(value: WireValue | undefined): Buffer {
  return Buffer.isBuffer(value) ? value : Buffer.alloc(0);
}

function textOf(value: WireValue | undefined): string {
  return bytesOf(value).toString();
}

function message(type: string, bytes: Buffer, depth: number): unknown {
  const definition = messages.get(type) ?? messages.get(type.split(".").at(-1) ?? "");
  if (definition === undefined) throw new StatusError(415, `no protobuf definition for ${type}; send JSON`);
  if (depth > MAX_DEPTH) throw badRequest("error decoding protobuf: nested too deeply");
  const fields = readFields(bytes);
  const only = definition.size === 1 ? definition.get(1) : undefined;
  if (only?.name === "items" && only.shape === "list" && !only.type.includes(".")) {
    return fields.map((field) => convert(only.type, field.value, depth)); // a named list type, such as Verbs
  }
  const out: JsonMap = {};
  for (const field of fields) {
    const known = definition.get(field.number);
    if (known !== undefined) put(out, known, field.value, depth);
  }
  return out;
}

function put(out: JsonMap, field: Field, value: WireValue, depth: number): void {
  if (field.shape === "map") {
    const entry = byNumber(readFields(bytesOf(value)));
    const map = (out[field.name] ??= {}) as JsonMap;
    setOwn(map, textOf(entry.get(1)), convert(field.type, entry.get(2) ?? Buffer.alloc(0), depth));
  } else if (field.shape === "list") {
    const list = (out[field.name] ??= []) as unknown[];
    list.push(convert(field.type, value, depth));
  } else {
    const converted = convert(field.type, value, depth);
    if (INLINE.has(field.name)) Object.assign(out, converted);
    else if (converted !== null && converted !== "") out[field.name] = converted;
  }
}

function convert(type: string, value: WireValue, depth: number): unknown {
  switch (type) {
    case "":
      return value.toString();
    case "i":
      return Number(value);
    case "b":
      return value === 1n;
    case "y":
      return bytesOf(value).toString("base64");
    case "d":
      return bytesOf(value).length === 8 ? bytesOf(value).readDoubleLE() : 0;
    case "Time":
    case "MicroTime":
      return time(bytesOf(value), type === "MicroTime");
    default:
      return wellKnown(type, bytesOf(value)) ?? message(type, bytesOf(value), depth + 1);
  }
}

/** Types with a JSON form of their own; undefined for ordinary messages. */
function wellKnown(type: string, bytes: Buffer): unknown {
  if (!WELL_KNOWN.has(type)) return undefined;
  const fields = byNumber(readFields(bytes));
  if (type === "Quantity") return textOf(fields.get(1)) || "0";
  return type === "IntOrString" ? intOrString(fields) : embeddedJson(textOf(fields.get(1)));
}

const WELL_KNOWN = new Set(["Quantity", "IntOrString", "FieldsV1", "RawExtension"]);

function intOrString(fields: ReadonlyMap<number, WireValue>): string | number {
  return Number(fields.get(1) ?? 0) === 1 ? textOf(fields.get(3)) : Number(fields.get(2) ?? 0);
}

function time(bytes: Buffer, micro: boolean): string | null {
  if (bytes.length === 0) return null;
  const fields = byNumber(readFields(bytes));
  const seconds = Number(fields.get(1) ?? 0);
  if (Math.abs(seconds) > 8.64e12) throw badRequest("error decoding protobuf: time out of range");
  const text = new Date(seconds * 1000).toISOString();
  const micros = String(Math.trunc(Number(fields.get(2) ?? 0) / 1000)).padStart(6, "0");
  return text.replace(".000Z", micro ? `.${micros}Z` : "Z");
}

function embeddedJson(text: string): unknown {
  try {
    return text === "" ? {} : (JSON.parse(text) as unknown);
  } catch {
    throw badRequest("error decoding protobuf: embedded JSON is malformed");
  }
}
