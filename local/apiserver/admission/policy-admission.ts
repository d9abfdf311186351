/** ValidatingAdmissionPolicy: CEL over object, oldObject, request, namespaceObject, authorizer, params and the policy's variables. */
import type {
  V1MatchResources,
  V1ValidatingAdmissionPolicy,
  V1ValidatingAdmissionPolicyBinding,
  V1ValidatingAdmissionPolicySpec,
  V1Validation,
} from "@kubernetes/client-node";
import type { CelInput } from "@bufbuild/cel";
import { StatusError } from "../http/status-error.ts";
import type { JsonMap } from "../object.ts";
import type { AdmissionRequest } from "../rest/context.ts";
import { celAuthorizer } from "../schema/cel-authorizer.ts";
import { compileCel, toCel } from "../schema/cel.ts";
import { type AdmissionDeps, namespaceLabels, namespaceOf } from "./admission-deps.ts";
import { policyParams } from "./policy-params.ts";
import { matchesRequest, ruleMatches } from "./rule-match.ts";

const POLICIES = "validatingadmissionpolicies.admissionregistration.k8s.io";
const BINDINGS = "validatingadmissionpolicybindings.admissionregistration.k8s.io";

type Variables = Record<string, CelInput>;

interface Failure {
  readonly message: string;
  readonly reason: string;
}

/** Throws for the first policy that denies; `Warn` bindings warn instead. */
export function checkPolicies(deps: AdmissionDeps, request: AdmissionRequest): void {
  const bindings = deps.store.list(BINDINGS) as unknown as readonly V1ValidatingAdmissionPolicyBinding[];
  if (bindings.length === 0) return;
  const labels = namespaceLabels(deps.store, request);
  for (const binding of bindings) {
    const policy = policyOf(deps, binding);
    if (policy === undefined || !constrains(policy.matchConstraints, request, labels)) continue;
    const scope = binding.spec?.matchResources;
    if (scope !== undefined && !constrains(scope, request, labels)) continue;
    const failure = judge(deps, request, policy, binding);
    if (failure !== undefined) act(request, binding, failure);
  }
}

function judge(
  deps: AdmissionDeps,
  request: AdmissionRequest,
  policy: V1ValidatingAdmissionPolicySpec,
  binding: V1ValidatingAdmissionPolicyBinding,
): Failure | undefined {
  const params = policyParams(deps, request, policy, binding);
  if (params.kind === "broken" && policy.failurePolicy === "Ignore") return undefined;
  if (params.kind !== "params") return { message: params.message, reason: "Invalid" };
  for (const value of params.values) {
    const failure = evaluate(policy, { ...inputs(deps, request), params: value });
    if (failure !== undefined) return failure;
  }
  return undefined;
}

function policyOf(
  deps: AdmissionDeps,
  binding: V1ValidatingAdmissionPolicyBinding,
): V1ValidatingAdmissionPolicySpec | undefined {
  const policy = deps.store.get(POLICIES, binding.spec?.policyName ?? "");
  return (policy as unknown as V1ValidatingAdmissionPolicy | undefined)?.spec;
}

function act(request: AdmissionRequest, binding: V1ValidatingAdmissionPolicyBinding, failure: Failure): void {
  const by = `ValidatingAdmissionPolicy '${binding.spec?.policyName}' with binding '${binding.metadata?.name}' denied request: ${failure.message}`;
  const actions = binding.spec?.validationActions ?? [];
  if (actions.includes("Warn")) request.context.warn(`Validation failed for ${by}`);
  if (actions.includes("Deny")) throw denial(request, by, failure.reason);
}

const CODES: Readonly<Record<string, number>> = {
  Unauthorized: 401,
  Forbidden: 403,
  Invalid: 422,
  RequestEntityTooLarge: 413,
};

function denial({ target }: AdmissionRequest, message: string, reason: string): StatusError {
  const { id, group, plural } = target.resource;
  return new StatusError(CODES[reason] ?? 422, `${id} "${target.name}" is forbidden: ${message}`, {
    reason,
    details: { name: target.name, group: group || undefined, kind: plural, causes: [{ message }] },
  });
}

function constrains(
  match: V1MatchResources | undefined,
  request: AdmissionRequest,
  labels: Record<string, string> | undefined,
): boolean {
  if (match === undefined) return false;
  const exactVersions = match.matchPolicy === "Exact";
  if ((match.excludeResourceRules ?? []).some((rule) => ruleMatches(rule, request, exactVersions)))
    return false;
  const any = [{ operations: ["*"], apiGroups: ["*"], apiVersions: ["*"], resources: ["*/*"] }];
  const criteria = {
    rules: match.resourceRules ?? any,
    namespaceSelector: match.namespaceSelector,
    objectSelector: match.objectSelector,
    exactVersions,
  };
  return matchesRequest(criteria, request, labels);
}

/** The first validation that fails; an error in an expression counts as one unless the policy says Ignore. */
function evaluate(spec: V1ValidatingAdmissionPolicySpec, variables: Variables): Failure | undefined {
  const ignoreErrors = spec.failurePolicy === "Ignore";
  const broken = (expression: string, message: string): Failure | undefined =>
    ignoreErrors
      ? undefined
      : { message: `expression '${expression}' resulted in error: ${message}`, reason: "Invalid" };
  for (const condition of spec.matchConditions ?? []) {
    const outcome = compileCel(condition.expression).run(variables);
    if (outcome.kind === "error") return broken(condition.expression, outcome.message);
    if (outcome.value !== true) return undefined;
  }
  addVariables(variables, spec);
  for (const validation of spec.validations ?? []) {
    const outcome = compileCel(validation.expression).run(variables);
    if (outcome.kind === "value" && outcome.value === true) continue;
    if (outcome.kind === "value")
      return { message: messageOf(validation, variables), reason: validation.reason ?? "Invalid" };
    const failure = broken(validation.expression, outcome.message);
    if (failure !== undefined) return failure;
  }
  return undefined;
}

function inputs({ store, registry, rbac }: AdmissionDeps, request: AdmissionRequest): Variables {
  const { target, operation, object, old, context } = request;
  const { group, version, plural } = target.resource;
  const schema = registry.schema(target.resource);
  const kind = kindOf(request);
  const resource = { group, version, resource: plural };
  const { username, uid, groups, extra } = context.user;
  const name = target.isOneOfMany === true ? "" : target.name;
  return {
    object: toCel(object, schema),
    oldObject: toCel(old, schema),
    namespaceObject: toCel(namespaceOf(store, target.namespace)),
    authorizer: celAuthorizer((access) => rbac.allows(context.user, access)),
    request: toCel({
      kind,
      resource,
      requestKind: kind,
      requestResource: resource,
      operation,
      ...whatIsThere({ name, namespace: target.namespace }),
      ...whatIsThere({ subResource: target.subresource, requestSubResource: target.subresource }),
      userInfo: { username, groups, ...whatIsThere({ uid, extra }) },
      dryRun: context.dryRun,
      options: context.options,
    }),
  };
}

/** Options of a connection and requests for tokens are of kinds of their own. */
function kindOf({ target, object }: AdmissionRequest): Readonly<Record<string, string>> {
  const { group, version, kind } = target.resource;
  if (target.subresource === "" || object?.kind === undefined || object.kind === kind)
    return { group, version, kind };
  const [first = "", second] = (object.apiVersion ?? "").split("/");
  return { group: second === undefined ? "" : first, version: second ?? first, kind: object.kind };
}

/** To expressions an empty text is no text: asking for it is an error. */
function whatIsThere(fields: JsonMap): JsonMap {
  return Object.fromEntries(
    Object.entries(fields).filter(([, value]) => value !== undefined && value !== ""),
  );
}

/** A variable that fails to evaluate is absent: only what uses it fails. */
function addVariables(variables: Variables, spec: V1ValidatingAdmissionPolicySpec): void {
  const values = new Map<string, CelInput>();
  for (const { name, expression } of spec.variables ?? []) {
    variables["variables"] = new Map(values) as CelInput;
    const outcome = compileCel(expression).run(variables);
    if (outcome.kind === "value") values.set(name, outcome.value as CelInput);
  }
  variables["variables"] = values as CelInput;
}

function messageOf(validation: V1Validation, variables: Variables): string {
  if (validation.messageExpression !== undefined) {
    const outcome = compileCel(validation.messageExpression).run(variables);
    if (outcome.kind === "value" && typeof outcome.value === "string" && outcome.value !== "")
      return outcome.value;
  }
  return validation.message ?? `failed expression: ${validation.expression}`;
}
