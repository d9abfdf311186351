/** On SIGTERM: is this an upgrade (leave everything in place) or has the mesh been removed from the node (clean up)? */
import { type KubeClient, kubeStatus } from "#core/k8s/kube-client.ts";
import { jsonObject } from "#core/k8s/json-read.ts";
import { describeError } from "#core/runtime/errors.ts";

const DAEMONSET = "istio-cni-node";

export type StopReason =
  | { readonly kind: "upgrade" }
  | { readonly kind: "removed" }
  /** Nobody can say, so everything stays: a pod that was in the mesh is never let out by accident. */
  | { readonly kind: "unknown"; readonly why: string };

/** `removed` only when the API says that the DaemonSet is gone or going. */
export async function whyStopping(client: KubeClient, namespace: string): Promise<StopReason> {
  const path = `/apis/apps/v1/namespaces/${encodeURIComponent(namespace)}/daemonsets/${DAEMONSET}`;
  try {
    const daemonSet = jsonObject(await client.json({ method: "GET", path, timeoutMs: 3_000 }));
    const isGoing = jsonObject(daemonSet["metadata"])["deletionTimestamp"] !== undefined;
    return { kind: isGoing ? "removed" : "upgrade" };
  } catch (error) {
    return kubeStatus(error) === 404 ? { kind: "removed" } : { kind: "unknown", why: describeError(error) };
  }
}
