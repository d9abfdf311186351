/** Pure. Which requests a webhook or admission policy wants to see. */
import type { V1LabelSelector, V1RuleWithOperations } from "@kubernetes/client-node";
import type { AdmissionRequest } from "../rest/context.ts";
import { selectorMatches } from "../rest/selectors.ts";

export interface MatchCriteria {
  readonly rules: readonly (V1RuleWithOperations & { readonly resourceNames?: readonly string[] })[];
  readonly namespaceSelector: V1LabelSelector | undefined;
  readonly objectSelector: V1LabelSelector | undefined;
  /** Equivalent (the default) also takes other served versions of the kind. */
  readonly exactVersions: boolean;
}

export function matchesRequest(
  criteria: MatchCriteria,
  request: AdmissionRequest,
  namespaceLabels: Record<string, string> | undefined,
): boolean {
  if (!criteria.rules.some((rule) => ruleMatches(rule, request, criteria.exactVersions))) return false;
  if (namespaceLabels !== undefined && !selectorMatches(criteria.namespaceSelector, namespaceLabels))
    return false;
  const { object, old } = request;
  if (object === undefined && old === undefined) return true;
  return [object, old].some(
    (candidate) =>
      candidate !== undefined && selectorMatches(criteria.objectSelector, candidate.metadata.labels),
  );
}

function listed(list: readonly string[] | undefined, value: string): boolean {
  return list === undefined || list.includes("*") || list.includes(value);
}

export function ruleMatches(
  rule: MatchCriteria["rules"][number],
  request: AdmissionRequest,
  exactVersions: boolean,
): boolean {
  const { resource, name } = request.target;
  if (!listed(rule.operations, request.operation) || !listed(rule.apiGroups, resource.group)) return false;
  const versions = exactVersions ? [resource.version] : resource.servedVersions;
  if (!versions.some((version) => listed(rule.apiVersions, version))) return false;
  if (rule.resourceNames !== undefined && rule.resourceNames.length > 0 && !rule.resourceNames.includes(name))
    return false;
  const scope = rule.scope ?? "*";
  if (scope !== "*" && (scope === "Namespaced") !== resource.namespaced) return false;
  return resourceListed(rule.resources ?? [], resource.plural, request.target.subresource);
}

function resourceListed(resources: readonly string[], plural: string, subresource: string): boolean {
  if (resources.includes("*/*")) return true;
  if (subresource === "") return resources.includes("*") || resources.includes(plural);
  return (
    resources.includes(`${plural}/${subresource}`) ||
    resources.includes(`*/${subresource}`) ||
    resources.includes(`${plural}/*`)
  );
}
