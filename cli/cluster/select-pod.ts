/** Which pods a command means: the mesh's own pods by their owner, users' pods as `name[.namespace]`. */
import { AmbitError } from "#core/runtime/errors.ts";
import type { CommandContext } from "../context.ts";
import type { ClusterAccess, PodRef } from "./cluster-access.ts";

/** The mesh's parts as they are deployed. Deployments' pods belong to a ReplicaSet named after it. */
const OWNERS = {
  ztunnel: /^DaemonSet\/ztunnel$/,
  agent: /^DaemonSet\/istio-cni-node$/,
  controller: /^ReplicaSet\/ambit-controller-[a-z0-9]+$/,
} as const;

export type MeshPart = keyof typeof OWNERS;

/** Running pods of a part, ready ones first. Throws `CLI_NO_MESH` when there is none. */
export async function meshPods(
  part: MeshPart,
  context: CommandContext,
  access: ClusterAccess,
): Promise<readonly PodRef[]> {
  const { systemNamespace } = context.options;
  const pods = (await access.listPods(systemNamespace)).filter((pod) => OWNERS[part].test(pod.owner));
  const running = pods.filter((pod) => pod.running);
  if (running.length > 0) return running.toSorted((a, b) => Number(b.ready) - Number(a.ready));
  const reason = pods.length === 0 ? "there is none" : `${pods.length} exist, but none runs`;
  throw new AmbitError("CLI_NO_MESH", `found no ${part} pod in namespace ${systemNamespace}: ${reason}`);
}

/** Whether a pod is a ztunnel. */
export function isZtunnel(pod: PodRef, context: CommandContext): boolean {
  return pod.namespace === context.options.systemNamespace && OWNERS.ztunnel.test(pod.owner);
}

/** The pod that `name`, `name.namespace` or `pod/name` means. Throws `CLI_NOT_FOUND`. */
export async function namedPod(
  text: string,
  context: CommandContext,
  access: ClusterAccess,
): Promise<PodRef> {
  const plain = text.replace(/^pods?\//, "");
  const dot = plain.lastIndexOf(".");
  const candidates = [
    [context.options.namespace, plain] as const,
    ...(dot < 0 ? [] : [[plain.slice(dot + 1), plain.slice(0, dot)] as const]),
    ...(dot < 0 ? [[context.options.systemNamespace, plain] as const] : []),
  ];
  for (const [namespace, name] of candidates) {
    const pod = await access.getPod(namespace, name);
    if (pod !== undefined) return pod;
  }
  const namespaces = [...new Set(candidates.map(([namespace]) => namespace))].join(" or ");
  throw new AmbitError("CLI_NOT_FOUND", `there is no pod ${plain} in namespace ${namespaces}`);
}
