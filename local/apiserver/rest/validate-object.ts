/** Everything that must hold before an object is stored; throws one 422 that names every problem. */
import { type FieldProblem, invalid, invalidValue, required } from "../http/status-error.ts";
import type { ApiObject, ObjectMeta } from "../object.ts";
import { strategyOf } from "../registry/strategies.ts";
import type { Resource } from "../registry/resource.ts";
import { checkRules, hasRules, rulesNotChecked } from "../schema/rules.ts";
import { validate } from "../schema/validate.ts";
import type { RestDeps } from "./context.ts";

/** Rules may rely on what these would break, so that they are not run then. */
const BLOCKING = new Set([
  "FieldValueRequired",
  "FieldValueNotSupported",
  "FieldValueTooLong",
  "FieldValueTooMany",
  "FieldValueTypeInvalid",
]);

export function validateObject(
  deps: RestDeps,
  resource: Resource,
  object: ApiObject,
  old: ApiObject | undefined,
): void {
  const schema = deps.registry.schema(resource);
  const problems = metadataProblems(resource, object.metadata);
  problems.push(...validate(enforcedPart(resource, object), schema));
  if (resource.custom !== undefined) {
    if (!problems.some((problem) => BLOCKING.has(problem.reason)))
      problems.push(...checkRules(object, old, resource.custom.schema));
    else if (hasRules(resource.custom.schema)) problems.push(rulesNotChecked());
  }
  if (problems.length === 0) problems.push(...(strategyOf(resource.id).validate?.(object, old) ?? []));
  if (problems.length > 0) throw invalid(resource, object.metadata.name ?? "", problems);
}

/** Status of built-in kinds is trusted: it is written by components, and real validation there is per kind. */
function enforcedPart(resource: Resource, object: ApiObject): ApiObject {
  if (resource.custom !== undefined || object.status === undefined) return object;
  const { status: _status, ...rest } = object;
  return rest as ApiObject;
}

const SUBDOMAIN = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/;
const LABEL = /^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/;
const SERVICE = /^[a-z]([-a-z0-9]{0,61}[a-z0-9])?$/;
const SUBDOMAIN_WORDS =
  "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character " +
  "(e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";

function nameProblem(resource: Resource, name: string): string | undefined {
  if (resource.group === "rbac.authorization.k8s.io")
    return /^[^/%]{1,253}$/.test(name) && name !== "." && name !== ".."
      ? undefined
      : "may not contain '/' or '%'";
  if (resource.id === "services")
    return SERVICE.test(name)
      ? undefined
      : "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for validation is '[a-z]([-a-z0-9]*[a-z0-9])?')";
  if (resource.id === "namespaces")
    return LABEL.test(name)
      ? undefined
      : "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')";
  return name.length <= 253 && SUBDOMAIN.test(name) ? undefined : SUBDOMAIN_WORDS;
}

const LABEL_VALUE = /^(([A-Za-z0-9][-A-Za-z0-9_.]{0,61})?[A-Za-z0-9])?$/;
const QUALIFIED = /^([a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?\/)?([A-Za-z0-9][-A-Za-z0-9_.]{0,61})?[A-Za-z0-9]$/;
const MAX_ANNOTATION_BYTES = 256 * 1024;

const NAME_PART =
  "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character";
const VALUE_FORM =
  "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character";

function metadataProblems(resource: Resource, metadata: ObjectMeta): FieldProblem[] {
  if ((metadata.name ?? "") === "") return [required("metadata.name", "name or generateName is required")];
  const why = nameProblem(resource, metadata.name);
  const problems = why === undefined ? [] : [invalidValue("metadata.name", metadata.name, why)];
  return [
    ...problems,
    ...labelProblems(metadata.labels ?? {}),
    ...annotationProblems(metadata.annotations ?? {}),
  ];
}

function labelProblems(labels: Readonly<Record<string, string>>): FieldProblem[] {
  return Object.entries(labels).flatMap(([key, value]) => {
    if (!QUALIFIED.test(key)) return [invalidValue("metadata.labels", key, NAME_PART)];
    return LABEL_VALUE.test(value) ? [] : [invalidValue("metadata.labels", value, VALUE_FORM)];
  });
}

function annotationProblems(annotations: Readonly<Record<string, string>>): FieldProblem[] {
  const field = "metadata.annotations";
  const bad = Object.keys(annotations).filter((key) => !QUALIFIED.test(key.toLowerCase()));
  const problems = bad.map((key) => invalidValue(field, key, NAME_PART));
  const bytes = Object.entries(annotations).reduce((sum, [key, value]) => sum + key.length + value.length, 0);
  if (bytes <= MAX_ANNOTATION_BYTES) return problems;
  const message = `Too long: may not be more than ${MAX_ANNOTATION_BYTES} bytes`;
  return [...problems, { field, message, reason: "FieldValueTooLong" }];
}
