/** Validating admission webhooks: all that are interested are asked together. */
import { randomUUID } from "node:crypto";
import type {
  AdmissionregistrationV1WebhookClientConfig,
  V1LabelSelector,
  V1MatchCondition,
  V1RuleWithOperations,
  V1ValidatingWebhookConfiguration,
} from "@kubernetes/client-node";
import { StatusError } from "../http/status-error.ts";
import { digNumber, digString, isRecord, type JsonMap } from "../object.ts";
import type { AdmissionRequest } from "../rest/context.ts";
import { compileCel, toCel } from "../schema/cel.ts";
import { type AdmissionDeps, namespaceLabels } from "./admission-deps.ts";
import { matchesRequest } from "./rule-match.ts";
import { callWebhook } from "./webhook-call.ts";

interface Webhook {
  readonly name: string;
  readonly clientConfig: AdmissionregistrationV1WebhookClientConfig;
  readonly rules?: readonly V1RuleWithOperations[];
  readonly namespaceSelector?: V1LabelSelector;
  readonly objectSelector?: V1LabelSelector;
  readonly matchPolicy?: string;
  readonly failurePolicy?: string;
  readonly timeoutSeconds?: number;
  readonly matchConditions?: readonly V1MatchCondition[];
}

const DEFAULT_SECONDS = 10;

export async function callValidatingWebhooks(deps: AdmissionDeps, request: AdmissionRequest): Promise<void> {
  await Promise.all(interested(deps, request).map((webhook) => review(deps, request, webhook)));
}

function interested(deps: AdmissionDeps, request: AdmissionRequest): Webhook[] {
  const configurations = deps.store.list("validatingwebhookconfigurations.admissionregistration.k8s.io");
  if (configurations.length === 0) return [];
  const labels = namespaceLabels(deps.store, request);
  return configurations
    .flatMap((configuration) => (configuration as unknown as V1ValidatingWebhookConfiguration).webhooks ?? [])
    .filter((webhook: Webhook) => {
      const { rules = [], namespaceSelector, objectSelector, matchPolicy } = webhook;
      return matchesRequest(
        { rules, namespaceSelector, objectSelector, exactVersions: matchPolicy === "Exact" },
        request,
        labels,
      );
    });
}

/** Throws what the webhook said, or 500 when it could not be asked and may not be skipped. */
async function review(deps: AdmissionDeps, request: AdmissionRequest, webhook: Webhook): Promise<void> {
  if (!conditionsHold(webhook, request)) return;
  const body = reviewRequest(request);
  let response: JsonMap;
  try {
    const message = { kind: "AdmissionReview", apiVersion: "admission.k8s.io/v1", request: body };
    response = await callWebhook(
      deps.store,
      webhook.clientConfig,
      message,
      webhook.timeoutSeconds ?? DEFAULT_SECONDS,
    );
    if (response["uid"] !== body["uid"])
      throw new Error(`expected response.uid="${String(body["uid"])}", got "${String(response["uid"])}"`);
  } catch (error) {
    if (webhook.failurePolicy === "Ignore") return;
    const why = `failed calling webhook "${webhook.name}": failed to call webhook: ${error instanceof Error ? error.message : String(error)}`;
    throw new StatusError(500, `Internal error occurred: ${why}`, {
      details: { causes: [{ message: why }] },
    });
  }
  for (const warning of Array.isArray(response["warnings"]) ? response["warnings"] : [])
    request.context.warn(String(warning));
  if (response["allowed"] !== true) throw denied(webhook, response);
}

function denied(webhook: Webhook, response: JsonMap): StatusError {
  const status = isRecord(response["status"]) ? response["status"] : {};
  const code = digNumber(status, "code") ?? 403;
  const why = digString(status, "message") ?? digString(status, "reason") ?? "without explanation";
  return new StatusError(
    code >= 400 && code < 600 ? code : 403,
    `admission webhook "${webhook.name}" denied the request: ${why}`,
    {
      reason: digString(status, "reason") ?? "Forbidden",
      ...(isRecord(status["details"]) ? { details: status["details"] } : {}),
    },
  );
}

function conditionsHold(webhook: Webhook, request: AdmissionRequest): boolean {
  const variables = {
    object: toCel(request.object),
    oldObject: toCel(request.old),
    request: toCel(reviewRequest(request)),
  };
  return (webhook.matchConditions ?? []).every((condition) => {
    const outcome = compileCel(condition.expression).run(variables);
    return outcome.kind === "error" ? webhook.failurePolicy !== "Ignore" : outcome.value === true;
  });
}

function reviewRequest({ target, operation, object, old, context }: AdmissionRequest): JsonMap {
  const { group, version, kind, plural } = target.resource;
  const gvk = { group, version, kind };
  const gvr = { group, version, resource: plural };
  return {
    uid: randomUUID(),
    kind: gvk,
    resource: gvr,
    ...(target.subresource === "" ? {} : { subResource: target.subresource }),
    requestKind: gvk,
    requestResource: gvr,
    name: target.name,
    ...(target.namespace === "" ? {} : { namespace: target.namespace }),
    operation,
    userInfo: context.user,
    object: object ?? null,
    oldObject: old ?? null,
    dryRun: context.dryRun,
    options: context.options,
  };
}
