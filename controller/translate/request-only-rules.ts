/** Pure. Rules of an AuthorizationPolicy of which nothing, or not all, is left for a connection that is not HTTP: people should know on which ports. */
import { connectionForm, numbered } from "#core/authz/request/connection-form.ts";
import { jsonList, jsonObject } from "#core/k8s/json-read.ts";
import type { CustomObject } from "#core/k8s/object-types.ts";
import type { MatchList } from "#core/model/authorization.ts";
import { onlyObserves, type RequestPolicy } from "#core/model/request-policy.ts";
import { translateRule } from "./authorization-rule.ts";
import { l7Fields } from "./l7-fields.ts";
import { Report } from "./policy-report.ts";

export interface RequestOnlyRule {
  /** `spec.rules[1]`. */
  readonly path: string;
  readonly action: "allow" | "deny";
  /** It speaks of these ports alone: of those that any of the lists has; none means all. */
  readonly ports: readonly MatchList<number>[];
}

/** `request`: what waypoints judge by. A policy that decides nothing has no such rules. */
export function requestOnlyRules(
  policy: CustomObject,
  request: RequestPolicy | undefined,
): readonly RequestOnlyRule[] {
  if (request === undefined || onlyObserves(request)) return [];
  const action = request.action === "deny" ? "deny" : "allow";
  const fields = l7Fields(policy);
  const raw = jsonList(jsonObject(policy.spec)["rules"]);
  const input = { action, namespace: policy.metadata.namespace, report: new Report("", policy) } as const;
  return numbered(request.rules).flatMap(({ index, rule }) => {
    const path = `spec.rules[${index}]`;
    if (!fields.some((field) => field.path.startsWith(`${path}.`))) return [];
    // What ztunnels keep of a rule is what rules the ports that go past the waypoint.
    const isLost = translateRule(raw[index], path, input) === undefined;
    const isPartlyLost = connectionForm({ ...request, rules: [rule] }).httpOnlyDeny !== undefined;
    if (!isLost && !isPartlyLost) return [];
    const ports = action === "allow" ? rule.to.map((operation) => operation.ports) : [];
    return [{ path, action, ports }];
  });
}

export function speaksOfPort({ ports }: RequestOnlyRule, port: number): boolean {
  return (
    ports.length === 0 ||
    ports.some(({ any, none }) => (any.length === 0 || any.includes(port)) && !none.includes(port))
  );
}
