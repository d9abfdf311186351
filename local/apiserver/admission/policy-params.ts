/** Parameters of an admission policy: the objects that its binding names. The policy is judged once with each of them. */
import type {
  V1ParamRef,
  V1ValidatingAdmissionPolicyBinding,
  V1ValidatingAdmissionPolicySpec,
} from "@kubernetes/client-node";
import type { CelInput } from "@bufbuild/cel";
import { keyOf, type Resource } from "../registry/resource.ts";
import type { AdmissionRequest } from "../rest/context.ts";
import { selectorMatches } from "../rest/selectors.ts";
import { toCel } from "../schema/cel.ts";
import type { AdmissionDeps } from "./admission-deps.ts";

export type PolicyParams =
  /** Null stands for "without parameters". An empty list: there are none, and the binding allows that. */
  | { readonly kind: "params"; readonly values: readonly CelInput[] }
  /** The binding demands parameters. */
  | { readonly kind: "denied"; readonly message: string }
  /** Policy or binding cannot be used as they are: the policy's failurePolicy decides. */
  | { readonly kind: "broken"; readonly message: string };

export function policyParams(
  deps: AdmissionDeps,
  request: AdmissionRequest,
  policy: V1ValidatingAdmissionPolicySpec,
  binding: V1ValidatingAdmissionPolicyBinding,
): PolicyParams {
  const { paramKind } = policy;
  const reference = binding.spec?.paramRef;
  if (paramKind === undefined || reference === undefined) return { kind: "params", values: [null] };
  const resource = deps.registry.byKind(paramKind.apiVersion ?? "", paramKind.kind ?? "");
  if (resource === undefined)
    return broken(
      `failed to find resource referenced by paramKind: '${paramKind.apiVersion}, Kind=${paramKind.kind}'`,
    );
  const namespace = namespaceOf(resource, reference, request);
  if (namespace === undefined)
    return broken(
      resource.namespaced
        ? "cannot use namespaced paramRef in policy binding that matches cluster-scoped resources"
        : "paramRef.namespace must not be provided for a cluster-scoped `paramKind`",
    );
  const found = find(deps, resource, reference, namespace);
  if (found.length > 0 || reference.parameterNotFoundAction === "Allow")
    return { kind: "params", values: found };
  return {
    kind: "denied",
    message: "no params found for policy binding with `Deny` parameterNotFoundAction",
  };
}

function broken(why: string): PolicyParams {
  return { kind: "broken", message: `failed to configure binding: ${why}` };
}

/** "" for kinds without namespaces; undefined when the reference does not fit the kind. */
function namespaceOf(
  resource: Resource,
  reference: V1ParamRef,
  { target }: AdmissionRequest,
): string | undefined {
  const given = reference.namespace ?? "";
  if (!resource.namespaced) return given === "" ? "" : undefined;
  const own = target.resource.id === "namespaces" ? target.name : target.namespace;
  return given || own || undefined;
}

function find(
  { store, registry }: AdmissionDeps,
  resource: Resource,
  { name = "", selector }: V1ParamRef,
  namespace: string,
): readonly CelInput[] {
  const schema = registry.schema(resource);
  if (name !== "") {
    const object = store.get(resource.id, keyOf(resource, namespace, name));
    return object === undefined ? [] : [toCel(object, schema)];
  }
  return store
    .list(resource.id)
    .filter((object) => !resource.namespaced || object.metadata.namespace === namespace)
    .filter((object) => selectorMatches(selector, object.metadata.labels))
    .map((object) => toCel(object, schema));
}
