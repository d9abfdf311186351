/** Small complete inputs for tests. */
import type { MeshConfig } from "../translate/mesh-config.ts";

export const testMeshConfig: MeshConfig = {
  trustDomain: "cluster.local",
  trustDomainAliases: [],
  rootNamespace: "istio-system",
  clusterId: "Kubernetes",
  network: "",
  dnsDomain: "cluster.local",
  dryRunPolicies: false,
  pathNormalization: "base",
};
