/** Pure. Names of things as branded strings, so that two kinds of name never mix. */

/** WDS key of a workload: `<cluster>//Pod/<namespace>/<name>` for pods. */
export type WorkloadUid = string & { readonly __brand: "WorkloadUid" };
/** `<namespace>/<hostname>`. */
export type ServiceKey = string & { readonly __brand: "ServiceKey" };
/** `<namespace>/<name>` of an authorization policy. */
export type PolicyKey = string & { readonly __brand: "PolicyKey" };
/** metadata.uid of a Kubernetes Pod: the key of ZDS. */
export type PodUid = string & { readonly __brand: "PodUid" };

export function workloadUid(text: string): WorkloadUid {
  return text as WorkloadUid;
}

export function podWorkloadUid(clusterId: string, namespace: string, name: string): WorkloadUid {
  return `${clusterId}//Pod/${namespace}/${name}` as WorkloadUid;
}

export function serviceKey(namespace: string, hostname: string): ServiceKey {
  return `${namespace}/${hostname}` as ServiceKey;
}

export function policyKey(namespace: string, name: string): PolicyKey {
  return `${namespace}/${name}` as PolicyKey;
}

export function podUid(text: string): PodUid {
  return text as PodUid;
}
