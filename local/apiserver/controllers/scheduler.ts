/** Gives unassigned pods a node, through `pods/binding`: those that fit, fewest pods of the same owner, then fewest pods. */
import type { V1Pod, V1PodSpec } from "@kubernetes/client-node";
import { type ApiObject, digList, digString, timestamp } from "../object.ts";
import { withCondition } from "../registry/strategies/pods.ts";
import { internalContext, type RestDeps } from "../rest/context.ts";
import { handleSubresource } from "../rest/subresources.ts";
import { ControllerClient, controllerOf, objectKey, shortHash } from "./controller-client.ts";
import { misfit } from "./node-fit.ts";
import { isActive } from "./pod-facts.ts";

const NAME = "default-scheduler";
const RETRY_MS = 5000;

const specOf = (pod: ApiObject): V1PodSpec | undefined => (pod as unknown as V1Pod).spec;
const isWaiting = (pod: ApiObject): boolean =>
  (specOf(pod)?.nodeName ?? "") === "" &&
  specOf(pod)?.schedulerName === NAME &&
  isActive(pod) &&
  (specOf(pod)?.schedulingGates?.length ?? 0) === 0;

export function startScheduler(deps: RestDeps): ControllerClient {
  const client = new ControllerClient(deps, "kube-scheduler");
  const queue = client.queue(async (key) => {
    const [namespace = "", name = ""] = key.split("/");
    const pod = client.get("pods", namespace, name);
    if (pod !== undefined && isWaiting(pod) && !(await schedule(client, pod))) queue.add(key, RETRY_MS);
  });
  client.watch("pods", ({ type, current }) => {
    if (type !== "DELETED" && isWaiting(current.object)) queue.add(objectKey(current.object));
  });
  client.watch("nodes", () => {
    for (const pod of client.list("pods").filter(isWaiting)) queue.add(objectKey(pod));
  });
  return client;
}

async function schedule(client: ControllerClient, pod: ApiObject): Promise<boolean> {
  const pods = client
    .list("pods")
    .filter((other) => isActive(other) && (specOf(other)?.nodeName ?? "") !== "");
  const choice = chooseNode(pod, client.list("nodes"), pods);
  const resource = client.deps.registry.byId("pods");
  if (resource === undefined) return false;
  if (choice.kind === "none") {
    await reportUnschedulable(client, pod, choice.reason);
    return false;
  }
  const { namespace = "", name } = pod.metadata;
  const body = { apiVersion: "v1", kind: "Binding", target: { kind: "Node", name: choice.node } };
  const request = { verb: "create", contentType: "application/json", body };
  await handleSubresource(
    client.deps,
    { resource, namespace, name, subresource: "binding" },
    request,
    internalContext("kube-scheduler"),
  );
  return true;
}

export type NodeChoice =
  | { readonly kind: "node"; readonly node: string }
  | { readonly kind: "none"; readonly reason: string };

/** Pure. `pods` are those that have a node already. */
export function chooseNode(
  pod: ApiObject,
  nodes: readonly ApiObject[],
  pods: readonly ApiObject[],
): NodeChoice {
  const spec = specOf(pod);
  if (spec === undefined) return { kind: "none", reason: "the pod has no spec" };
  const owner = controllerOf(pod)?.uid;
  const reasons = new Map<string, number>();
  const fitting: { node: string; siblings: number; load: number }[] = [];
  for (const node of nodes) {
    const there = pods.filter((other) => specOf(other)?.nodeName === node.metadata.name);
    const why = misfit(spec, node, there);
    if (why !== undefined) {
      reasons.set(why, (reasons.get(why) ?? 0) + 1);
      continue;
    }
    const siblings =
      owner === undefined ? 0 : there.filter((other) => controllerOf(other)?.uid === owner).length;
    fitting.push({ node: node.metadata.name, siblings, load: there.length });
  }
  const best = fitting.toSorted(
    (a, b) => a.siblings - b.siblings || a.load - b.load || (a.node < b.node ? -1 : 1),
  )[0];
  if (best !== undefined) return { kind: "node", node: best.node };
  const words = [...reasons].map(([why, count]) => `${count} node(s) ${why}`).join(", ");
  return {
    kind: "none",
    reason: `0/${nodes.length} nodes are available: ${words === "" ? "no nodes available to schedule pods" : words}.`,
  };
}

async function reportUnschedulable(client: ControllerClient, pod: ApiObject, message: string): Promise<void> {
  const now = timestamp(client.deps.clock.nowMs());
  if (digList(pod.status, "conditions").some((condition) => digString(condition, "message") === message))
    return;
  const condition = {
    type: "PodScheduled",
    status: "False",
    reason: "Unschedulable",
    message,
    lastTransitionTime: now,
  };
  await client.update("pods", pod, (live) => withCondition(live, condition), "status");
  const { namespace = "", name, uid } = pod.metadata;
  await client.create("events", namespace, {
    metadata: { name: `${name}.${shortHash([uid, message, now])}` },
    involvedObject: { apiVersion: "v1", kind: "Pod", namespace, name, uid },
    type: "Warning",
    reason: "FailedScheduling",
    message,
    source: { component: NAME },
    firstTimestamp: now,
    lastTimestamp: now,
    count: 1,
  });
}
