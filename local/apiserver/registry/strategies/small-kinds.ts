/** The remaining kinds that have defaults or immutable fields: each a few lines. */
import type {
  V1CustomResourceDefinition,
  V1EndpointSlice,
  V1Namespace,
  V1ParamRef,
  V1Secret,
  V1ValidatingAdmissionPolicy,
  V1ValidatingAdmissionPolicyBinding,
  V1ValidatingWebhookConfiguration,
} from "@kubernetes/client-node";
import { type FieldProblem, forbiddenField, invalidValue, required } from "../../http/status-error.ts";
import { type ApiObject, deepEqual, dig } from "../../object.ts";
import { compileProblem, crdProblems } from "../crd-resources.ts";
import { fillIn } from "../fill-in.ts";
import type { Strategy } from "../strategy.ts";

const NAME_LABEL = "kubernetes.io/metadata.name";

export const namespaceStrategy: Strategy = {
  defaults: (object) => {
    object.metadata.labels = { ...object.metadata.labels, [NAME_LABEL]: object.metadata.name };
  },
  onCreate: (object) => {
    object.spec = { finalizers: ["kubernetes"] };
    object.status = { phase: "Active" };
  },
  onUpdate: (next, old) => {
    next.spec = (old as unknown as V1Namespace).spec; // changed by /finalize only
  },
};

export const secretStrategy: Strategy = {
  defaults: (object) => {
    const secret = object as unknown as V1Secret;
    secret.type ??= "Opaque";
    for (const [key, text] of Object.entries(secret.stringData ?? {})) {
      secret.data = { ...secret.data, [key]: Buffer.from(text).toString("base64") };
    }
    delete secret.stringData;
  },
  validate: (object, old) => [...immutableField(object, old, "type"), ...frozenData(object, old)],
};

export const configMapStrategy: Strategy = { validate: (object, old) => frozenData(object, old) };

function frozenData(object: ApiObject, old: ApiObject | undefined): FieldProblem[] {
  if (old?.["immutable"] !== true) return [];
  const same = deepEqual(object.data, old.data) && deepEqual(object["binaryData"], old["binaryData"]);
  if (object["immutable"] !== true)
    return [forbiddenField("immutable", "field is immutable when `immutable` is set")];
  return same ? [] : [forbiddenField("data", "field is immutable when `immutable` is set")];
}

function immutableField(object: ApiObject, old: ApiObject | undefined, field: string): FieldProblem[] {
  if (old === undefined || deepEqual(object[field], old[field])) return [];
  return [invalidValue(field, object[field], "field is immutable")];
}

export const bindingStrategy: Strategy = {
  defaults: (object) => {
    for (const subject of (object["subjects"] ?? []) as { kind?: string; apiGroup?: string }[]) {
      if (subject.kind !== "ServiceAccount") subject.apiGroup ??= "rbac.authorization.k8s.io";
    }
    const roleRef = object["roleRef"] as { apiGroup?: string } | undefined;
    if (roleRef !== undefined)
      roleRef.apiGroup =
        roleRef.apiGroup === undefined || roleRef.apiGroup === ""
          ? "rbac.authorization.k8s.io"
          : roleRef.apiGroup;
  },
  validate: (object, old) =>
    old !== undefined && !deepEqual(object["roleRef"], old["roleRef"])
      ? [invalidValue("roleRef", object["roleRef"], "cannot change roleRef")]
      : object["roleRef"] === undefined
        ? [required("roleRef")]
        : [],
};

export const endpointSliceStrategy: Strategy = {
  defaults: (object) => {
    const slice = object as unknown as V1EndpointSlice;
    slice.endpoints ??= [];
    for (const port of slice.ports ?? []) {
      port.name ??= "";
      port.protocol ??= "TCP";
    }
  },
  validate: (object, old) =>
    object["addressType"] === undefined
      ? [required("addressType")]
      : immutableField(object, old, "addressType"),
};

export const webhookStrategy: Strategy = {
  defaults: (object) => {
    for (const webhook of (object as unknown as V1ValidatingWebhookConfiguration).webhooks ?? []) {
      const selectors = { namespaceSelector: {}, objectSelector: {} };
      fillIn(webhook, { failurePolicy: "Fail", matchPolicy: "Equivalent", timeoutSeconds: 10, ...selectors });
      fillIn(webhook.clientConfig?.service, { port: 443 });
      for (const rule of webhook.rules ?? []) fillIn(rule, { scope: "*" });
    }
  },
};

export const admissionPolicyStrategy: Strategy = {
  defaults: (object) => {
    const { spec } = object as unknown as V1ValidatingAdmissionPolicy;
    if (spec === undefined) return;
    spec.failurePolicy ??= "Fail";
    if (spec.matchConstraints === undefined) return;
    spec.matchConstraints.matchPolicy ??= "Equivalent";
    spec.matchConstraints.namespaceSelector ??= {};
    spec.matchConstraints.objectSelector ??= {};
    for (const rule of spec.matchConstraints.resourceRules ?? []) rule.scope ??= "*";
  },
  onCreate: (object) => {
    object.status = {};
  },
  validate: (object) => {
    const { spec } = object as unknown as V1ValidatingAdmissionPolicy;
    if (spec === undefined) return [required("spec")];
    const problems: FieldProblem[] = [];
    for (const field of ["apiVersion", "kind"] as const)
      if (spec.paramKind !== undefined && (spec.paramKind[field] ?? "") === "")
        problems.push(required(`spec.paramKind.${field}`));
    if (spec.matchConstraints === undefined) problems.push(required("spec.matchConstraints"));
    for (const [list, expressions] of [
      ["validations", spec.validations?.map((item) => item.expression)],
      ["matchConditions", spec.matchConditions?.map((item) => item.expression)],
      ["variables", spec.variables?.map((item) => item.expression)],
    ] as const) {
      (expressions ?? []).forEach((expression, i) => {
        const why = compileProblem(expression);
        if (why !== undefined)
          problems.push(
            invalidValue(`spec.${list}[${i}].expression`, expression, `compilation failed: ${why}`),
          );
      });
    }
    return problems;
  },
};

export const admissionPolicyBindingStrategy: Strategy = {
  validate: (object) => {
    const { spec } = object as unknown as V1ValidatingAdmissionPolicyBinding;
    const problems: FieldProblem[] = [];
    if ((spec?.policyName ?? "") === "") problems.push(required("spec.policyName"));
    if ((spec?.validationActions ?? []).length === 0) problems.push(required("spec.validationActions"));
    problems.push(...paramRefProblems(spec?.paramRef));
    return problems;
  },
};

function paramRefProblems(reference: V1ParamRef | undefined): readonly FieldProblem[] {
  if (reference === undefined) return [];
  const problems: FieldProblem[] = [];
  const named = (reference.name ?? "") !== "";
  if (named === (reference.selector !== undefined))
    problems.push(forbiddenField("spec.paramRef.name", "exactly one of name and selector must be set"));
  if (!["Allow", "Deny"].includes(reference.parameterNotFoundAction ?? ""))
    problems.push(required("spec.paramRef.parameterNotFoundAction"));
  return problems;
}

/** Holds a deleted definition back until its objects are gone. */
export const CRD_CLEANUP = "customresourcecleanup.apiextensions.k8s.io";

export const crdStrategy: Strategy = {
  onCreate: (object) => {
    object.metadata.finalizers = [...new Set([...(object.metadata.finalizers ?? []), CRD_CLEANUP])];
  },
  defaults: (object) => {
    const { spec } = object as unknown as V1CustomResourceDefinition;
    if (spec?.names === undefined) return;
    spec.names.singular ??= spec.names.kind?.toLowerCase();
    spec.names.listKind ??= `${spec.names.kind}List`;
    spec.conversion ??= { strategy: "None" };
  },
  validate: (object, old) => {
    const { spec } = object as unknown as V1CustomResourceDefinition;
    if (spec?.names?.plural === undefined || !Array.isArray(spec.versions)) return []; // the schema says what is missing
    const problems = crdProblems(object);
    if (spec.conversion?.strategy === "Webhook")
      problems.push(
        forbiddenField("spec.conversion.strategy", "webhook conversion is not provided by this server"),
      );
    if (old !== undefined && dig(old.spec, "scope") !== spec.scope)
      problems.push(invalidValue("spec.scope", spec.scope, "field is immutable"));
    return problems;
  },
};

export const nodeStrategy: Strategy = {
  statusTakesMetadata: true,
  validate: (object, old) => {
    const before = dig(old?.spec, "podCIDR");
    return before === undefined || before === dig(object.spec, "podCIDR")
      ? []
      : [forbiddenField("spec.podCIDR", 'node updates may not change podCIDR except from "" to valid')];
  },
};

export const leaseStrategy: Strategy = {
  validate: (object) => {
    const seconds = dig(object.spec, "leaseDurationSeconds");
    return typeof seconds === "number" && seconds <= 0
      ? [invalidValue("spec.leaseDurationSeconds", seconds, "must be greater than 0")]
      : [];
  },
};
