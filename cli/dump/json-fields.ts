/** Pure. Fields of JSON by name in any letter case, as Go's decoder finds them; wrong types read as absent. */
import { jsonList, jsonObject, type JsonObject } from "#core/k8s/json-read.ts";

export function field(object: JsonObject, name: string): unknown {
  if (Object.hasOwn(object, name)) return object[name];
  const wanted = name.toLowerCase();
  const key = Object.keys(object).find((k) => k.toLowerCase() === wanted);
  return key === undefined ? undefined : object[key];
}

/** Texts and numbers as text; anything else is empty. */
export function textField(object: JsonObject, name: string): string {
  const value = field(object, name);
  return typeof value === "string" || typeof value === "number" ? String(value) : "";
}

export function objectField(object: JsonObject, name: string): JsonObject {
  return jsonObject(field(object, name));
}

/** The objects of a list, or of a map's values. */
export function objectsField(object: JsonObject, name: string): readonly JsonObject[] {
  const value = field(object, name);
  return (Array.isArray(value) ? value : Object.values(jsonObject(value))).map(jsonObject);
}

export function textsField(object: JsonObject, name: string): readonly string[] {
  return jsonList(field(object, name)).filter((value) => typeof value === "string");
}
