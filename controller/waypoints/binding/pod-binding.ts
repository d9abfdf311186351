/** Pure. What the bindings of a namespace's automatic waypoint mean for one of its pods. */
import type { PodObject, ServiceObject } from "#core/k8s/object-types.ts";
import type { PolicyKey } from "#core/model/ids.ts";
import { selectorMatches } from "../../translate/selectors.ts";
import { type Binding, type BindingScope, pushesOf } from "./binding.ts";

/** Whether the scope has the pod, which `services` select. */
export function inScope(
  scope: BindingScope,
  pod: Pick<PodObject, "metadata">,
  services: readonly ServiceObject[],
): boolean {
  if (scope.kind === "workloads") return selectorMatches(scope.labels, pod.metadata.labels);
  return services.some((service) => scope.names.includes(service.metadata.name));
}

export interface PodPushes {
  /** The waypoint is named on the pod. */
  readonly binds: boolean;
  /** Nobody but the waypoint, on ports that are not declared TCP. */
  readonly denies: boolean;
  /** Policies whose L4 form rules the pod. */
  readonly l4Forms: ReadonlySet<PolicyKey>;
}

/** `covering`: the bindings that have the pod in scope. */
export function podPushes(covering: readonly Binding[]): PodPushes {
  const pushes = covering.map(({ policy, stage }) => ({ policy, ...pushesOf(stage) }));
  return {
    binds: pushes.some(({ binds }) => binds),
    denies: pushes.some(({ denies }) => denies),
    l4Forms: new Set(pushes.filter(({ hasL4Form }) => hasL4Form).map(({ policy }) => policy)),
  };
}
