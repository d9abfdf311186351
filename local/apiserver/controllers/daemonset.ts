/** DaemonSets: one pod on every node that fits, replaced node by node when the template changes (maxUnavailable or maxSurge). */
import type { V1DaemonSet, V1PodSpec, V1PodTemplateSpec } from "@kubernetes/client-node";
import { type ApiObject, clone, deepEqual, dig, digList, digString } from "../object.ts";
import type { RestDeps } from "../rest/context.ts";
import { ControllerClient, controllerOf, shortHash } from "./controller-client.ts";
import { type DaemonLimits, type NodeState, planDaemons } from "./daemonset-plan.ts";
import { misfit } from "./node-fit.ts";
import { isActive, isAvailable, isReady, ownedBy, podFromTemplate, portion } from "./pod-facts.ts";

const DAEMON_SETS = "daemonsets.apps";
const HASH = "controller-revision-hash";
/** A daemon belongs on nodes that others must avoid. */
const TOLERATED = [
  "not-ready:NoExecute",
  "unreachable:NoExecute",
  "disk-pressure:NoSchedule",
  "memory-pressure:NoSchedule",
  "pid-pressure:NoSchedule",
  "unschedulable:NoSchedule",
];

const specOf = (object: ApiObject): NonNullable<V1DaemonSet["spec"]> =>
  (object as unknown as V1DaemonSet).spec ?? ({} as never);

export function startDaemonSetController(deps: RestDeps): ControllerClient {
  const client = new ControllerClient(deps, "daemon-set-controller");
  const queue = client.queue(async (key) => {
    const [namespace = "", name = ""] = key.split("/");
    const set = client.get(DAEMON_SETS, namespace, name);
    if (set === undefined || set.metadata.deletionTimestamp !== undefined) return;
    await reconcile(client, set);
    if (await writeStatus(client, client.get(DAEMON_SETS, namespace, name) ?? set)) queue.add(key, 1000);
  });
  client.watch(DAEMON_SETS, (event) => queue.add(event.key));
  client.watch("nodes", ({ type, current, previous }) => {
    const same = type === "MODIFIED" && deepEqual(placement(current.object), placement(previous?.object));
    if (!same)
      for (const set of client.list(DAEMON_SETS)) queue.add(`${set.metadata.namespace}/${set.metadata.name}`);
  });
  client.watch("pods", ({ current }) => {
    const owner = controllerOf(current.object);
    if (owner?.kind === "DaemonSet") queue.add(`${current.object.metadata.namespace}/${owner.name}`);
  });
  return client;
}

function placement(node: ApiObject | undefined): unknown {
  return [node?.metadata.labels, dig(node?.spec, "taints"), dig(node?.spec, "unschedulable")];
}

/** The node a pod is for, whether or not it is bound already. */
function nodeFor(pod: ApiObject): string {
  const bound = digString(pod.spec, "nodeName") ?? "";
  if (bound !== "") return bound;
  const required = "requiredDuringSchedulingIgnoredDuringExecution";
  const [term] = digList(pod.spec, "affinity", "nodeAffinity", required, "nodeSelectorTerms");
  const [field] = digList(term, "matchFields");
  const [name] = digList(field, "values");
  return typeof name === "string" ? name : "";
}

/** The template for one node: only that node matches, and what keeps others away does not. */
function pinned(template: V1PodTemplateSpec, node: string): V1PodTemplateSpec {
  const copy = clone(template);
  const { spec } = copy;
  if (spec === undefined) return copy;
  const required = {
    nodeSelectorTerms: [{ matchFields: [{ key: "metadata.name", operator: "In", values: [node] }] }],
  };
  spec.affinity ??= {};
  spec.affinity.nodeAffinity ??= {};
  spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution = required;
  spec.tolerations = daemonTolerations(spec);
  return copy;
}

function daemonTolerations(spec: V1PodSpec): NonNullable<V1PodSpec["tolerations"]> {
  const names = spec.hostNetwork === true ? [...TOLERATED, "network-unavailable:NoSchedule"] : TOLERATED;
  const own = names.map((text) => {
    const [key, effect = ""] = text.split(":");
    return { key: `node.kubernetes.io/${key}`, operator: "Exists", effect };
  });
  return [...(spec.tolerations ?? []), ...own];
}

/** Would the daemon run there if nothing else did? Readiness does not matter: daemons make nodes ready. */
function belongsOn(set: ApiObject, node: ApiObject): boolean {
  const { template } = specOf(set);
  const spec = clone(template.spec ?? ({ containers: [] } as V1PodSpec));
  spec.tolerations = [
    ...daemonTolerations(spec),
    { key: "node.kubernetes.io/not-ready", operator: "Exists" },
  ];
  return misfit(spec, node, []) === undefined;
}

async function reconcile(client: ControllerClient, set: ApiObject): Promise<void> {
  const { template } = specOf(set);
  const { namespace = "" } = set.metadata;
  const nodes = nodesOf(client, set);
  await removeMisplaced(client, set, nodes);
  const states = nodes.map((node) => stateOn(client, set, node));
  const labels = { [HASH]: shortHash(template) };
  for (const [node, step] of planDaemons(states, limitsOf(set, nodes.length))) {
    const { stale } = podsOn(client, set, node);
    if (step === "create")
      await client.create("pods", namespace, podFromTemplate(set, pinned(template, node), labels));
    else for (const pod of stale) await client.delete("pods", pod);
  }
  const surplus = nodes.flatMap((node) => podsOn(client, set, node).fresh.slice(1));
  for (const pod of surplus) await client.delete("pods", pod);
}

async function removeMisplaced(
  client: ControllerClient,
  set: ApiObject,
  nodes: readonly string[],
): Promise<void> {
  for (const pod of client.list("pods", set.metadata.namespace).filter(ownedBy(set))) {
    const misplaced = isActive(pod) && !nodes.includes(nodeFor(pod));
    if (misplaced || isFinished(pod)) await client.delete("pods", pod);
  }
}

function limitsOf(set: ApiObject, nodes: number): DaemonLimits {
  const { updateStrategy: { type, rollingUpdate } = {} } = specOf(set);
  return {
    rolling: type !== "OnDelete",
    maxSurge: portion(rollingUpdate?.maxSurge, nodes, Math.ceil),
    maxUnavailable: Math.max(1, portion(rollingUpdate?.maxUnavailable ?? 1, nodes, Math.ceil)),
  };
}

function nodesOf(client: ControllerClient, set: ApiObject): string[] {
  const fitting = client.list("nodes").filter((node) => belongsOn(set, node));
  return fitting.map((node) => node.metadata.name);
}

function podsOn(
  client: ControllerClient,
  set: ApiObject,
  node: string,
): { fresh: ApiObject[]; stale: ApiObject[] } {
  const hash = shortHash(specOf(set).template);
  const here = client
    .list("pods", set.metadata.namespace)
    .filter((pod) => ownedBy(set)(pod) && isActive(pod) && nodeFor(pod) === node);
  const fresh = here.filter((pod) => pod.metadata.labels?.[HASH] === hash);
  return { fresh, stale: here.filter((pod) => !fresh.includes(pod)) };
}

function stateOn(client: ControllerClient, set: ApiObject, node: string): NodeState {
  const { minReadySeconds = 0 } = specOf(set);
  const now = client.deps.clock.nowMs();
  const { fresh, stale } = podsOn(client, set, node);
  const available = (pod: ApiObject): boolean => isAvailable(pod, minReadySeconds, now);
  const leaving = client
    .list("pods", set.metadata.namespace)
    .some(
      (pod) => ownedBy(set)(pod) && pod.metadata.deletionTimestamp !== undefined && nodeFor(pod) === node,
    );
  return {
    node,
    fresh: fresh.length,
    stale: stale.length,
    freshAvailable: fresh.some(available),
    staleAvailable: stale.some(available),
    leaving,
  };
}

/** Failed daemons are made anew; a succeeded one should not have ended. */
function isFinished(pod: ApiObject): boolean {
  const phase = dig(pod.status, "phase");
  return pod.metadata.deletionTimestamp === undefined && (phase === "Failed" || phase === "Succeeded");
}

/** True while ready pods wait to become available. */
async function writeStatus(client: ControllerClient, set: ApiObject): Promise<boolean> {
  const { template, minReadySeconds = 0 } = specOf(set);
  const hash = shortHash(template);
  const now = client.deps.clock.nowMs();
  const nodes = nodesOf(client, set);
  const pods = client.list("pods", set.metadata.namespace).filter(ownedBy(set)).filter(isActive);
  const nodesWith = (test: (pod: ApiObject) => boolean): number =>
    nodes.filter((node) => pods.some((pod) => nodeFor(pod) === node && test(pod))).length;
  const numberAvailable = nodesWith((pod) => isAvailable(pod, minReadySeconds, now));
  const numberReady = nodesWith(isReady);
  await client.setStatus(DAEMON_SETS, set, {
    desiredNumberScheduled: nodes.length,
    currentNumberScheduled: nodesWith(() => true),
    numberMisscheduled: pods.filter((pod) => !nodes.includes(nodeFor(pod))).length,
    updatedNumberScheduled: nodesWith((pod) => pod.metadata.labels?.[HASH] === hash),
    numberReady,
    numberAvailable,
    numberUnavailable: nodes.length - numberAvailable,
    observedGeneration: set.metadata.generation,
  });
  return numberReady > numberAvailable;
}
