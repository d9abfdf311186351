/** Create-only kinds that answer a question: TokenReview, (Self)SubjectAccessReview, SelfSubjectRulesReview, SelfSubjectReview. */
import { ISSUER } from "../auth/account-tokens.ts";
import type { AccessRequest } from "../auth/rbac.ts";
import type { UserInfo } from "../auth/user.ts";
import { badRequest } from "../http/status-error.ts";
import { dig, digList, digString, isRecord, type JsonMap, timestamp } from "../object.ts";
import { apiVersionOf } from "../registry/resource.ts";
import type { RequestContext, RestDeps, Target } from "./context.ts";

export function answerReview(
  deps: RestDeps,
  target: Target,
  body: unknown,
  context: RequestContext,
): JsonMap {
  const { resource } = target;
  const spec = dig(body, "spec") ?? {};
  if (!isRecord(spec)) throw badRequest(`${resource.kind} needs a spec`);
  const base = { kind: resource.kind, apiVersion: apiVersionOf(resource), metadata: {} };
  switch (resource.plural) {
    case "tokenreviews":
      return { ...base, spec, status: reviewToken(deps, spec) };
    case "selfsubjectreviews":
      return {
        ...base,
        metadata: { creationTimestamp: timestamp(deps.clock.nowMs()) },
        status: { userInfo: context.user },
      };
    case "selfsubjectrulesreviews":
      return { ...base, spec, status: rulesStatus(deps, context.user, digString(spec, "namespace") ?? "") };
    default:
      return { ...base, spec, status: accessStatus(deps, target, spec, context.user) };
  }
}

function reviewToken(deps: RestDeps, spec: JsonMap): JsonMap {
  const asked = digList(spec, "audiences").filter((item) => typeof item === "string");
  const verified = deps.tokens.verify(digString(spec, "token") ?? "", asked.length === 0 ? [ISSUER] : asked);
  if (verified.ok)
    return { authenticated: true, user: verified.value.user, audiences: verified.value.audiences };
  return { user: {}, error: verified.problems[0]?.message ?? "invalid bearer token" };
}

function rulesStatus(deps: RestDeps, user: UserInfo, namespace: string): JsonMap {
  const rules = deps.rbac.rulesFor(user, namespace);
  return {
    incomplete: false,
    resourceRules: rules.filter((rule) => rule.resources !== undefined),
    nonResourceRules: rules
      .filter((rule) => rule.nonResourceURLs !== undefined)
      .map(({ verbs, nonResourceURLs }) => ({ verbs, nonResourceURLs })),
  };
}

function accessStatus(deps: RestDeps, target: Target, spec: JsonMap, caller: UserInfo): JsonMap {
  const self = target.resource.plural === "selfsubjectaccessreviews";
  const user = self ? caller : namedUser(spec);
  const access = accessOf(spec);
  if (target.resource.namespaced && access.namespace !== target.namespace) {
    throw badRequest("spec.resourceAttributes.namespace must match metadata.namespace");
  }
  const allowed = deps.rbac.allows(user, access);
  return { allowed, ...(allowed ? {} : { reason: "" }) };
}

function namedUser(spec: JsonMap): UserInfo {
  const groups = digList(spec, "groups").filter((item) => typeof item === "string");
  const extra = spec["extra"];
  return {
    username: digString(spec, "user") ?? "",
    uid: digString(spec, "uid"),
    groups,
    ...(isRecord(extra) ? { extra: extra as Record<string, string[]> } : {}),
  };
}

function accessOf(spec: JsonMap): AccessRequest {
  const resource = spec["resourceAttributes"];
  const path = spec["nonResourceAttributes"];
  if (isRecord(path)) return { verb: digString(path, "verb") ?? "", path: digString(path, "path") ?? "" };
  if (!isRecord(resource))
    throw badRequest("exactly one of resourceAttributes and nonResourceAttributes must be given");
  const text = (field: string): string => digString(resource, field) ?? "";
  return {
    verb: text("verb"),
    group: text("group"),
    resource: text("resource"),
    subresource: text("subresource"),
    namespace: text("namespace"),
    name: text("name"),
  };
}
