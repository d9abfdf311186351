/** Kubernetes objects from YAML text instead of an API: for goldens and for running without a cluster. */
import { parseAllDocuments } from "yaml";
import { jsonList, jsonObject } from "#core/k8s/json-read.ts";
import { apiVersion } from "#core/k8s/kinds.ts";
import { objectKey } from "#core/k8s/object-types.ts";
import { type Parsed, parsed, type Problem } from "#core/base/parse-result.ts";
import type { Sources } from "../sources.ts";
import { type AnySourceKind, sourceKinds } from "./source-kinds.ts";

/** Fills the sources from one or many documents (or a `List`). Reports documents of kinds that are not read. */
export function loadYaml(text: string, sources: Sources): Parsed<number> {
  const problems: Problem[] = [];
  const objects: unknown[] = [];
  for (const document of parseAllDocuments(text, { maxAliasCount: 10 } as object)) {
    for (const error of document.errors) problems.push({ path: "", message: error.message });
    const value: unknown = document.toJS();
    if (value !== null && value !== undefined) objects.push(...listed(value));
  }
  const kinds = sourceKinds(sources);
  for (const object of objects) {
    const { kind, apiVersion: version } = jsonObject(object);
    const target = kinds.find((k) => k.kind.kind === kind && apiVersion(k.kind) === version);
    if (target === undefined) problems.push({ path: "kind", message: `${String(kind)} is not read` });
    else put(target, object);
  }
  return problems.length === 0 ? parsed(objects.length) : { ok: false, problems };
}

function listed(value: unknown): readonly unknown[] {
  const object = jsonObject(value);
  return object["kind"] === "List" ? jsonList(object["items"]) : [value];
}

function put(target: AnySourceKind, raw: unknown): void {
  const object = target.project(raw);
  target.collection.apply([[objectKey(object), object]]);
}
