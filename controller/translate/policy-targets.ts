/** Pure. What a policy names in `targetRef` and `targetRefs`, each with its path. */
import { jsonList, jsonObject, jsonText } from "#core/k8s/json-read.ts";

export interface PolicyTarget {
  readonly path: string;
  readonly group: string;
  readonly kind: string;
  readonly name: string;
}

/** A Service, which is one of the policy's own namespace. */
export function isServiceTarget({ group, kind }: PolicyTarget): boolean {
  return kind === "Service" && group === "";
}

export function targetedServices(targets: readonly PolicyTarget[]): readonly string[] {
  return targets.filter(isServiceTarget).map(({ name }) => name);
}

export function policyTargets(rawSpec: unknown): readonly PolicyTarget[] {
  const spec = jsonObject(rawSpec);
  const single = spec["targetRef"] === undefined ? [] : [target(spec["targetRef"], "spec.targetRef")];
  const listed = jsonList(spec["targetRefs"]).map((raw, i) => target(raw, `spec.targetRefs[${i}]`));
  return [...single, ...listed];
}

function target(raw: unknown, path: string): PolicyTarget {
  const { group, kind, name } = jsonObject(raw);
  return { path, group: jsonText(group), kind: jsonText(kind), name: jsonText(name) };
}
