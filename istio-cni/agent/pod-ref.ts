/** Pure. What the agent knows of a pod it serves, and how it is seen by others. */
import { podUid, type PodUid } from "#core/model/ids.ts";
import type { EnrolmentNamespace, EnrolmentPod } from "#core/authz/enrolment.ts";
import type { NamespaceObject, PodObject } from "#core/k8s/object-types.ts";
import { type IpAddress, parseIp } from "#core/net/ip.ts";

export interface PodRef {
  readonly uid: PodUid;
  readonly name: string;
  readonly namespace: string;
  readonly serviceAccount: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly ips: readonly IpAddress[];
}

export function podRef(pod: PodObject, extraIps: readonly IpAddress[] = []): PodRef {
  const { uid, name, namespace, labels } = pod.metadata;
  const own = pod.ips.map(parseIp).flatMap((ip) => (ip.ok ? [ip.value] : []));
  const ips = [...new Set([...own, ...extraIps])];
  return { uid: podUid(uid), name, namespace, serviceAccount: pod.serviceAccount, labels, ips };
}

export function enrolmentPod(pod: PodObject): EnrolmentPod {
  return {
    namespace: pod.metadata.namespace,
    labels: pod.metadata.labels,
    annotations: pod.metadata.annotations,
    hostNetwork: pod.hostNetwork,
    phase: pod.phase,
    serviceAccount: pod.serviceAccount,
  };
}

export function enrolmentNamespace(namespace: NamespaceObject | undefined): EnrolmentNamespace | undefined {
  return namespace === undefined
    ? undefined
    : { name: namespace.metadata.name, labels: namespace.metadata.labels };
}

/** `namespace/name`, for people. */
export function podText(pod: PodRef): string {
  return `${pod.namespace}/${pod.name}`;
}
