/** On SIGTERM: is this an upgrade (leave everything in place) or has the mesh been removed from the node (clean up)? */
import { type KubeClient, kubeStatus } from "#core/k8s/kube-client.ts";
import { jsonObject } from "#core/k8s/json-read.ts";

const DAEMONSET = "istio-cni-node";

/** `removed` only when the API says that the DaemonSet is gone or going; a silent API means upgrade or reboot. */
export async function whyStopping(client: KubeClient, namespace: string): Promise<"upgrade" | "removed"> {
  const path = `/apis/apps/v1/namespaces/${encodeURIComponent(namespace)}/daemonsets/${DAEMONSET}`;
  try {
    const daemonSet = jsonObject(await client.json({ method: "GET", path, timeoutMs: 3_000 }));
    return jsonObject(daemonSet["metadata"])["deletionTimestamp"] === undefined ? "upgrade" : "removed";
  } catch (error) {
    return kubeStatus(error) === 404 ? "removed" : "upgrade";
  }
}
