/** Pure data. Resource id to strategy. */
import type { Strategy } from "./strategy.ts";
import { podStrategy } from "./strategies/pods.ts";
import { serviceStrategy } from "./strategies/services.ts";
import * as small from "./strategies/small-kinds.ts";
import { daemonSetStrategy, deploymentStrategy, replicaSetStrategy } from "./strategies/workloads.ts";

const NONE: Strategy = {};

const STRATEGIES: Readonly<Record<string, Strategy>> = {
  namespaces: small.namespaceStrategy,
  pods: podStrategy,
  services: serviceStrategy,
  nodes: small.nodeStrategy,
  secrets: small.secretStrategy,
  configmaps: small.configMapStrategy,
  "deployments.apps": deploymentStrategy,
  "replicasets.apps": replicaSetStrategy,
  "daemonsets.apps": daemonSetStrategy,
  "endpointslices.discovery.k8s.io": small.endpointSliceStrategy,
  "leases.coordination.k8s.io": small.leaseStrategy,
  "rolebindings.rbac.authorization.k8s.io": small.bindingStrategy,
  "clusterrolebindings.rbac.authorization.k8s.io": small.bindingStrategy,
  "validatingwebhookconfigurations.admissionregistration.k8s.io": small.webhookStrategy,
  "validatingadmissionpolicies.admissionregistration.k8s.io": small.admissionPolicyStrategy,
  "validatingadmissionpolicybindings.admissionregistration.k8s.io": small.admissionPolicyBindingStrategy,
  "customresourcedefinitions.apiextensions.k8s.io": small.crdStrategy,
};

export function strategyOf(id: string): Strategy {
  return STRATEGIES[id] ?? NONE;
}
