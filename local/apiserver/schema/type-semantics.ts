/**
 * Pure data for the generator: which lists are maps or sets, which maps are owned whole, which fields are quantities,
 * and which scalars are pointers in Go (so that a zero is a value). Names are those of @kubernetes/client-node's models.
 */

/** Lists with keys: apply keys; the strategic-merge key is the first one unless said otherwise. */
const KEYED: readonly (readonly [pattern: RegExp, keys: string])[] = [
  [/^V1PodSpec\.(containers|initContainers|ephemeralContainers|schedulingGates|imagePullSecrets)$/, "name"],
  [/^V1(Container|EphemeralContainer)\.env$/, "name"],
  [/^V1ServiceAccount\.secrets$|\.webhooks$|\.matchConditions$/, "name"],
  [/^V1PodSpec\.(volumes|resourceClaims)$|^V1PodStatus\.resourceClaimStatuses$/, "name"],
  [/^V1(Container|EphemeralContainer)\.ports$/, "containerPort,protocol"],
  [/^V1ServiceSpec\.ports$/, "port,protocol"],
  [/\.volumeMounts$/, "mountPath"],
  [/\.volumeDevices$/, "devicePath"],
  [/^V1PodSpec\.hostAliases$|^V1PodStatus\.podIPs$/, "ip"],
  [/^V1PodSpec\.topologySpreadConstraints$/, "topologyKey,whenUnsatisfiable"],
  [/^V1NodeStatus\.addresses$/, "type"],
  [/Status\.conditions$/, "type"],
  [/^V1ObjectMeta\.ownerReferences$/, "uid"],
  [/^V1ResourceRequirements\.claims$/, "name"],
];
const RETAIN_KEYS = /^V1PodSpec\.(volumes|resourceClaims)$|^V1PodStatus\.resourceClaimStatuses$/;
const REPLACED_BY_PATCH = /^V1CustomResourceDefinitionStatus\.conditions$|^V1ResourceRequirements\.claims$/;
const SETS = /^V1ObjectMeta\.finalizers$|^V1NodeSpec\.podCIDRs$|^V1Endpoint\.addresses$/;
const UNION_BY_PATCH = /^V1ObjectMeta\.finalizers$|^V1NodeSpec\.podCIDRs$/;
const RETAINED_OBJECTS = /^V1DeploymentSpec\.strategy$/;

/** The x-kubernetes-list-* and patch extensions of one field. */
export function listSemantics(id: string, isList: boolean): Record<string, unknown> {
  if (RETAINED_OBJECTS.test(id)) return { "x-kubernetes-patch-strategy": "retainKeys" };
  if (!isList) return {};
  if (SETS.test(id)) {
    const union = UNION_BY_PATCH.test(id) ? { "x-kubernetes-patch-strategy": "merge" } : {};
    return { "x-kubernetes-list-type": "set", ...union };
  }
  if (id === "V1PodStatus.hostIPs") {
    return {
      "x-kubernetes-list-type": "atomic",
      "x-kubernetes-patch-merge-key": "ip",
      "x-kubernetes-patch-strategy": "merge",
    };
  }
  const keys = KEYED.find(([pattern]) => pattern.test(id))?.[1].split(",");
  if (keys === undefined) return { "x-kubernetes-list-type": "atomic" };
  const asMap = { "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": keys };
  if (REPLACED_BY_PATCH.test(id)) return asMap;
  const strategy = RETAIN_KEYS.test(id) ? "merge,retainKeys" : "merge";
  return { ...asMap, "x-kubernetes-patch-merge-key": keys[0], "x-kubernetes-patch-strategy": strategy };
}

/** Fields whose map is owned whole. */
export const WHOLE_MAPS: ReadonlySet<string> = new Set(["V1ServiceSpec.selector", "V1PodSpec.nodeSelector"]);

/** Types that are owned whole wherever they stand. */
export const BY_NAME_MAPS: ReadonlySet<string> = new Set([
  "V1LabelSelector",
  "V1SecretKeySelector",
  "V1ConfigMapKeySelector",
  "V1ObjectReference",
  "V1LocalObjectReference",
  "V1SecretReference",
  "V1TypedLocalObjectReference",
  "V1ObjectFieldSelector",
  "V1ResourceFieldSelector",
  "V1RoleRef",
  "RbacV1Subject",
  "V1NodeSelector",
  "V1NodeSelectorTerm",
  "V1OwnerReference",
  "CoreV1EndpointPort",
  "DiscoveryV1EndpointPort",
  "V1EndpointAddress",
]);

export const QUANTITY_FIELDS: ReadonlySet<string> = new Set(
  "limits requests capacity allocatable overhead sizeLimit divisor allocatedResources min max default".split(
    " ",
  ),
);

/** Scalars that are pointers in Go: `replicas: 0` is kept, `hostPort: 0` (a plain int) is not. */
export const POINTER_FIELDS: ReadonlySet<string> = new Set(
  (
    "replicas terminationGracePeriodSeconds activeDeadlineSeconds automountServiceAccountToken enableServiceLinks runAsUser runAsGroup " +
    "fsGroup runAsNonRoot readOnlyRootFilesystem privileged allowPrivilegeEscalation optional immutable controller blockOwnerDeletion " +
    "serving terminating defaultMode mode expirationSeconds deletionGracePeriodSeconds gracePeriodSeconds orphanDependents " +
    "revisionHistoryLimit progressDeadlineSeconds leaseDurationSeconds leaseTransitions setHostnameAsFQDN shareProcessNamespace hostUsers " +
    "allocateLoadBalancerNodePorts tolerationSeconds priority " +
    "minReplicas timeoutSeconds averageUtilization started remainingItemCount V1EndpointConditions.ready " +
    "DiscoveryV1EndpointPort.port AdmissionregistrationV1ServiceReference.port ApiextensionsV1ServiceReference.port " +
    "hostnameOverride runAsUserName hostProcess V1PreferredSchedulingTerm.weight"
  ).split(" "),
);
