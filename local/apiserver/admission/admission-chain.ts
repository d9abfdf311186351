/**
 * Everything that may change or refuse a write, in order: service account and pod defaults; then node restriction, RBAC
 * escalation, ValidatingAdmissionPolicies, validating webhooks.
 */
import type { Admission, AdmissionRequest } from "../rest/context.ts";
import type { AdmissionDeps } from "./admission-deps.ts";
import { checkNodeRestriction } from "./node-restriction.ts";
import { admitPod } from "./pod-admission.ts";
import { checkPolicies } from "./policy-admission.ts";
import { checkEscalation } from "./rbac-escalation.ts";
import { callValidatingWebhooks } from "./webhook-admission.ts";

export function makeAdmission(deps: AdmissionDeps): Admission {
  return {
    mutate: (request) => admitPod(deps.store, request) ?? request.object,
    validate: async (request) => {
      checkNodeRestriction(deps.store, request);
      checkEscalation(deps, request);
      if (isExempt(request)) return;
      checkPolicies(deps, request);
      await callValidatingWebhooks(deps, request);
    },
  };
}

/** Configuration of admission cannot lock itself out. */
function isExempt({ target }: AdmissionRequest): boolean {
  return target.resource.group === "admissionregistration.k8s.io" || target.resource.review;
}
