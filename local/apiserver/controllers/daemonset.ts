/** DaemonSets: one pod on every node that fits, replaced node by node when the template changes (maxUnavailable or maxSurge). */
import type { V1DaemonSet, V1Pod, V1PodSpec, V1PodTemplateSpec } from "@kubernetes/client-node";
import { type ApiObject, clone, deepEqual, dig } from "../object.ts";
import type { RestDeps } from "../rest/context.ts";
import { ControllerClient, controllerOf, shortHash } from "./controller-client.ts";
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
  const { spec } = pod as unknown as V1Pod;
  const terms =
    spec?.affinity?.nodeAffinity?.requiredDuringSchedulingIgnoredDuringExecution?.nodeSelectorTerms;
  return spec?.nodeName || (terms?.[0]?.matchFields?.[0]?.values?.[0] ?? "");
}

function pinned(template: V1PodTemplateSpec, node: string): V1PodTemplateSpec {
  const copy = clone(template);
  const spec = copy.spec ?? ({} as V1PodSpec);
  const matchFields = [{ key: "metadata.name", operator: "In", values: [node] }];
  const required = { nodeSelectorTerms: [{ matchFields }] };
  spec.affinity = {
    ...spec.affinity,
    nodeAffinity: {
      ...spec.affinity?.nodeAffinity,
      requiredDuringSchedulingIgnoredDuringExecution: required,
    },
  };
  spec.tolerations = daemonTolerations(spec);
  return { ...copy, spec };
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
  const spec = clone(template.spec ?? ({} as V1PodSpec));
  spec.tolerations = [
    ...daemonTolerations(spec),
    { key: "node.kubernetes.io/not-ready", operator: "Exists" },
  ];
  return misfit(spec, node, []) === undefined;
}

async function reconcile(client: ControllerClient, set: ApiObject): Promise<void> {
  const { template, updateStrategy, minReadySeconds = 0 } = specOf(set);
  const hash = shortHash(template);
  const now = client.deps.clock.nowMs();
  const nodes = client
    .list("nodes")
    .filter((node) => belongsOn(set, node))
    .map((node) => node.metadata.name);
  const own = client.list("pods", set.metadata.namespace).filter(ownedBy(set));
  for (const pod of own.filter(
    (candidate) => isFinished(candidate) || (isActive(candidate) && !nodes.includes(nodeFor(candidate))),
  ))
    await client.delete("pods", pod);
  const pods = own.filter((pod) => isActive(pod) && nodes.includes(nodeFor(pod)));
  const available = (pod: ApiObject): boolean => isAvailable(pod, minReadySeconds, now);
  const rolling = updateStrategy?.type === "OnDelete" ? undefined : updateStrategy?.rollingUpdate;
  const maxSurge = portion(rolling?.maxSurge, nodes.length, Math.ceil);
  let surges = nodes.filter((node) => pods.filter((pod) => nodeFor(pod) === node).length > 1).length;
  let unavailable = nodes.filter(
    (node) => !pods.some((pod) => nodeFor(pod) === node && available(pod)),
  ).length;
  const limit =
    maxSurge > 0 ? 0 : Math.max(1, portion(rolling?.maxUnavailable ?? 1, nodes.length, Math.ceil));
  for (const node of nodes) {
    const here = pods.filter((pod) => nodeFor(pod) === node);
    const fresh = here.filter((pod) => pod.metadata.labels?.[HASH] === hash);
    const stale = here.filter((pod) => !fresh.includes(pod));
    const createFresh = (): Promise<unknown> =>
      client.create(
        "pods",
        set.metadata.namespace ?? "",
        podFromTemplate(set, pinned(template, node), { [HASH]: hash }),
      );
    for (const extra of fresh.slice(1)) await client.delete("pods", extra);
    if (here.length === 0) {
      if (
        !own.some((pod) => nodeFor(pod) === node && pod.metadata.deletionTimestamp !== undefined) ||
        maxSurge > 0
      )
        await createFresh();
    } else if (stale.length > 0 && rolling !== undefined) {
      const replaced = fresh.some(available);
      const broken = !stale.some(available);
      if (replaced || (fresh.length === 0 && maxSurge === 0 && (broken || unavailable < limit))) {
        if (!broken && !replaced) unavailable += 1;
        for (const pod of stale) await client.delete("pods", pod);
      } else if (fresh.length === 0 && maxSurge > 0 && surges < maxSurge) {
        surges += 1;
        await createFresh();
      }
    }
  }
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
  const nodes = client
    .list("nodes")
    .filter((node) => belongsOn(set, node))
    .map((node) => node.metadata.name);
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
