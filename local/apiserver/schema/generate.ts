/**
 * Writes `builtin-schemas.gen.ts` and `../protobuf/field-table.gen.ts`:
 * `node local/apiserver/schema/generate.ts <protobuf field table>`.
 * Types and required fields come from the models of @kubernetes/client-node, list and map semantics from the tables below
 * (checked against the OpenAPI document of Kubernetes 1.35).
 */
import { readFileSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { BUILTIN_RESOURCES } from "../registry/resource-table.ts";
import {
  BY_NAME_MAPS,
  listSemantics,
  POINTER_FIELDS,
  QUANTITY_FIELDS,
  WHOLE_MAPS,
} from "./type-semantics.ts";

interface Attribute {
  readonly baseName: string;
  readonly type: string;
  readonly format: string;
}

type Definition = Record<string, unknown>;

const require = createRequire(import.meta.url);
const MODELS = join(dirname(require.resolve("@kubernetes/client-node")), "gen", "models");
const PREFIX = "#/components/schemas/";
const EXTRA_ROOTS = ["V1DeleteOptions", "V1Scale", "V1Eviction", "AuthenticationV1TokenRequest", "V1Binding"];
const OPEN_TYPES = new Set(["V1JSONSchemaProps", "V1FieldsV1"]);

const definitions = new Map<string, Definition>();
const openApiNames = new Map<string, string>();

function read(model: string, suffix: string): string {
  return readFileSync(join(MODELS, `${model}${suffix}`), "utf8");
}

function attributesOf(model: string): Attribute[] {
  const source = read(model, ".js");
  const body = /attributeTypeMap = (\[[\s\S]*?\n\]);/.exec(source)?.[1] ?? "[]";
  return JSON.parse(body.replace(/,\s*\]/g, "]")) as Attribute[];
}

function requiredAndDocs(model: string): Map<string, { required: boolean; doc: string }> {
  const found = new Map<string, { required: boolean; doc: string }>();
  const source = read(model, ".d.ts");
  for (const match of source.matchAll(/\/\*\*\s*\* ([^\n]*)\n(?:\s*\*[^\n]*\n)*?\s*\*\/\s*'(\w+)'(\??):/g)) {
    found.set(match[2] ?? "", { required: match[3] !== "?", doc: firstSentence(match[1] ?? "") });
  }
  for (const match of source.matchAll(/^ {4}'([\w$]+)'(\??):/gm)) {
    if (!found.has(match[1] ?? "")) found.set(match[1] ?? "", { required: match[2] !== "?", doc: "" });
  }
  return found;
}

function firstSentence(text: string): string {
  const sentence = /^.*?\.(?=\s|$)/.exec(text.replace(/\\(.)/g, "$1"))?.[0] ?? text;
  return sentence.length > 140 ? `${sentence.slice(0, 137)}...` : sentence;
}

function openApiName(model: string, group: string): string {
  const known = openApiNames.get(model);
  if (known !== undefined) return known;
  const match =
    /^(?:Core|Events|Discovery|Rbac|Authentication|Flowcontrol|Storage|Admissionregistration|Apiextensions)?(V\d(?:alpha\d|beta\d)?)(\w+)$/.exec(
      model,
    );
  const version = (match?.[1] ?? "v1").toLowerCase();
  const meta =
    /^V1(ObjectMeta|ManagedFieldsEntry|OwnerReference|LabelSelector|LabelSelectorRequirement|Condition|DeleteOptions|Preconditions|FieldsV1)$/.test(
      model,
    );
  const name = meta
    ? `io.k8s.apimachinery.pkg.apis.meta.v1.${model.slice(2)}`
    : `io.k8s.api.${group === "" ? "core" : (group.split(".")[0] ?? "")}.${version}.${match?.[2] ?? model}`;
  openApiNames.set(model, name);
  return name;
}

function typeSchema(attribute: Attribute, group: string): Definition {
  const { type } = attribute;
  const item = /^Array<(.*)>$/.exec(type)?.[1];
  if (item !== undefined) return { type: "array", items: typeSchema({ ...attribute, type: item }, group) };
  const value = /^\{ \[key: string\]: (.*); \}$/.exec(type)?.[1];
  if (value === "any") return { type: "object", additionalProperties: true };
  if (value !== undefined)
    return { type: "object", additionalProperties: typeSchema({ ...attribute, type: value }, group) };
  const scalar = scalarSchema(attribute);
  if (scalar !== undefined) return scalar;
  define(type, group);
  return { $ref: PREFIX + openApiName(type, group) };
}

function scalarSchema({ baseName, type, format }: Attribute): Definition | undefined {
  const formatted = format === "" ? {} : { format };
  switch (type) {
    case "any":
      return { "x-kubernetes-preserve-unknown-fields": true };
    case "IntOrString":
      return { "x-kubernetes-int-or-string": true, format: "int-or-string" };
    case "Date":
    case "V1MicroTime":
      return { type: "string", format: "date-time" };
    case "number":
      return { type: format === "double" ? "number" : "integer", ...formatted };
    case "string":
      return QUANTITY_FIELDS.has(baseName) ? { type, format: "quantity" } : { type, ...formatted };
    case "boolean":
      return { type, ...formatted };
    default:
      return undefined;
  }
}

function fieldDefinition(model: string, attribute: Attribute, doc: string, group: string): Definition {
  const id = `${model}.${attribute.baseName}`;
  const schema = typeSchema(attribute, group);
  Object.assign(schema, listSemantics(id, schema["type"] === "array"));
  if (WHOLE_MAPS.has(id)) schema["x-kubernetes-map-type"] = "atomic";
  if (POINTER_FIELDS.has(attribute.baseName) || POINTER_FIELDS.has(id)) schema["x-ambit-pointer"] = true;
  if (doc !== "") schema["description"] = doc;
  return schema;
}

function define(model: string, group: string): void {
  if (definitions.has(model)) return;
  openApiName(model, group);
  if (OPEN_TYPES.has(model)) {
    definitions.set(model, { type: "object", "x-kubernetes-preserve-unknown-fields": true });
    return;
  }
  const schema: Definition = { type: "object" };
  definitions.set(model, schema);
  if (BY_NAME_MAPS.has(model)) schema["x-kubernetes-map-type"] = "atomic";
  const docs = requiredAndDocs(model);
  const properties: Record<string, Definition> = {};
  for (const attribute of attributesOf(model)) {
    properties[attribute.baseName] = fieldDefinition(
      model,
      attribute,
      docs.get(attribute.baseName)?.doc ?? "",
      group,
    );
  }
  const required = Object.keys(properties).filter((name) => docs.get(name)?.required === true);
  if (required.length > 0) schema["required"] = required;
  schema["properties"] = properties;
}

function modelOf(kind: string, version: string): string {
  if (kind === "Event") return "CoreV1Event";
  return version.replace("v", "V") + kind;
}

const kindNames: Record<string, string> = {};
for (const model of ["V1ObjectMeta", "V1PodTemplateSpec"]) define(model, ""); // not of the first group that uses them
for (const r of BUILTIN_RESOURCES) {
  const model = modelOf(r.kind, r.version);
  define(model, r.group);
  kindNames[`${r.group}/${r.version}/${r.kind}`] = openApiName(model, r.group);
}
for (const model of EXTRA_ROOTS) define(model, "");

const header = "// Generated by local/apiserver/schema/generate.ts. Do not edit.\n";
const lines = [...definitions].map(
  ([model, schema]) =>
    `  [${JSON.stringify(openApiNames.get(model))}, ${JSON.stringify(JSON.stringify(schema))}],`,
);
writeFileSync(
  new URL("./builtin-schemas.gen.ts", import.meta.url),
  `${header}export const BUILTIN_SCHEMA_TEXT: ReadonlyMap<string, string> = new Map([\n${lines.join("\n")}\n]);\n` +
    `/** \`group/version/Kind\` to the schema's name. */\nexport const BUILTIN_KIND_SCHEMAS: Readonly<Record<string, string>> = ${JSON.stringify(kindNames, null, 1)};\n`,
);
const tablePath = process.argv[2];
if (tablePath !== undefined) {
  writeFileSync(
    new URL("../protobuf/field-table.gen.ts", import.meta.url),
    `${header}/** One line per message: name, then \`field:number:type\`; \`[\` a list, \`{\` a map, i integer, b boolean, y bytes, d double. */\n` +
      `export const FIELD_TABLE = ${JSON.stringify(readFileSync(tablePath, "utf8").trim().split("\n"), null, 0).replaceAll('","', '",\n"')};\n`,
  );
}
