/** A client's object made ours: identity checked, unknown fields dropped or refused, types checked, canonical form. */
import { badRequest, type FieldProblem, invalid } from "../http/status-error.ts";
import { type ApiObject, isRecord, type ObjectMeta } from "../object.ts";
import { apiVersionOf, type Resource } from "../registry/resource.ts";
import { applyDefaults } from "../schema/default-values.ts";
import { normalize } from "../schema/normalize.ts";
import { prune } from "../schema/prune.ts";
import { hasRules, rulesNotChecked } from "../schema/rules.ts";
import { TYPE_PROBLEM, validate } from "../schema/validate.ts";
import type { RequestContext, RestDeps, Target } from "./context.ts";

/** Throws 400 for what cannot be this kind, 422 for a custom resource with wrong types. The result is the caller's own copy. */
export function decode(
  deps: RestDeps,
  target: Target,
  body: unknown,
  context: RequestContext & { readonly withoutDefaults?: boolean },
): ApiObject {
  const { resource } = target;
  if (!isRecord(body))
    throw badRequest(`the object provided is unrecognized (must be of type ${resource.kind})`);
  checkKind(resource, body);
  const schema = deps.registry.schema(resource);
  const unknown: string[] = [];
  const pruned = prune(body, schema, { unknown, dropNulls: resource.custom === undefined });
  reportUnknown(resource, unknown, context);
  const metadata = isRecord(body["metadata"]) ? (pruned as ApiObject).metadata : {};
  const object = {
    ...(pruned as object),
    apiVersion: apiVersionOf(resource),
    kind: resource.kind,
    metadata,
  } as unknown as ApiObject;
  const problems = validate(object, schema).filter((problem) => isUnreadable(resource, problem));
  const copy = structuredClone(object);
  checkTypes(resource, copy, problems);
  placeObject(target, copy.metadata);
  if (resource.custom === undefined) normalize(copy, schema);
  else {
    normalize(copy.metadata, schema.properties?.["metadata"]);
    if (context.withoutDefaults !== true) applyDefaults(copy, resource.custom.schema);
  }
  return copy;
}

function checkKind(resource: Resource, body: Record<string, unknown>): void {
  const kind = body["kind"];
  const apiVersion = body["apiVersion"];
  if (resource.custom !== undefined && (kind === undefined || apiVersion === undefined)) {
    const shown = JSON.stringify(body).slice(0, 500);
    throw badRequest(
      `the object provided is unrecognized (must be of type ${resource.kind}): Object '${kind === undefined ? "Kind" : "apiVersion"}' is missing in '${shown}'`,
    );
  }
  const own = apiVersionOf(resource);
  if ((kind ?? resource.kind) === resource.kind && (apiVersion ?? own) === own) return;
  throw badRequest(
    `${String(kind)} in version "${String(apiVersion)}" cannot be handled as a ${resource.kind}: the API version in the data (${JSON.stringify(apiVersion ?? own)}) ` +
      `does not match the expected API version (${own}), or the kind does not match ${resource.kind}`,
  );
}

/** Built-in kinds also fail to decode where a time or quantity cannot be read. */
function isUnreadable(resource: Resource, problem: FieldProblem): boolean {
  if (problem.reason === TYPE_PROBLEM) return true;
  return resource.custom === undefined && problem.message.includes(" in body must be of type ");
}

const MAX_NAMED = 100;

function reportUnknown(resource: Resource, unknown: readonly string[], context: RequestContext): void {
  if (unknown.length === 0 || context.fieldValidation === "Ignore") return;
  const words = unknown.slice(0, MAX_NAMED).map((path) => `unknown field "${path}"`);
  if (context.fieldValidation === "Warn") {
    for (const word of words) context.warn(word);
    return;
  }
  const handled = `${resource.kind} in version "${resource.version}" cannot be handled as a ${resource.kind}: `;
  throw badRequest(
    `${resource.custom === undefined ? handled : ""}strict decoding error: ${words.join(", ")}`,
  );
}

function checkTypes(resource: Resource, object: ApiObject, problems: readonly FieldProblem[]): void {
  const [first] = problems;
  if (first === undefined) return;
  const inMetadata = problems.find((problem) => problem.field.startsWith("metadata"));
  if (resource.custom !== undefined && inMetadata === undefined) {
    const name = typeof object.metadata.name === "string" ? object.metadata.name : "";
    throw invalid(
      resource,
      name,
      hasRules(resource.custom.schema) ? [...problems, rulesNotChecked()] : problems,
    );
  }
  const { field, message } = inMetadata ?? first;
  throw badRequest(
    `${resource.kind} in version "${resource.version}" cannot be handled as a ${resource.kind}: json: cannot unmarshal into field ${field}: ${message}`,
  );
}

/** Name and namespace of the body must agree with the URL, and take their values from it. */
function placeObject(target: Target, metadata: ObjectMeta): void {
  if (target.resource.namespaced) {
    if ((metadata.namespace ?? "") !== "" && metadata.namespace !== target.namespace) {
      throw badRequest(
        "the namespace of the provided object does not match the namespace sent on the request",
      );
    }
    metadata.namespace = target.namespace;
  } else delete metadata.namespace;
  if (target.name === "") return;
  if ((metadata.name ?? "") !== "" && metadata.name !== target.name) {
    throw badRequest(
      `the name of the object (${metadata.name}) does not match the name on the URL (${target.name})`,
    );
  }
  metadata.name = target.name;
}
