/** Deployments: a ReplicaSet per template, numbered by revision; rolling update, recreate, history, status for `rollout status`. */
import type { V1Deployment, V1LabelSelector, V1PodTemplateSpec, V1ReplicaSet } from "@kubernetes/client-node";
import { type ApiObject, clone, deepEqual, digNumber, type JsonMap } from "../object.ts";
import type { RestDeps } from "../rest/context.ts";
import { ControllerClient, controllerOf, ownerReference, shortHash } from "./controller-client.ts";
import { condition, progressing } from "./deployment-conditions.ts";
import { planRollout, type SetState } from "./deployment-plan.ts";
import { isActive, ownedBy, portion } from "./pod-facts.ts";

const DEPLOYMENTS = "deployments.apps";
const REPLICA_SETS = "replicasets.apps";
const REVISION = "deployment.kubernetes.io/revision";
const HASH = "pod-template-hash";

const specOf = (object: ApiObject): NonNullable<V1Deployment["spec"]> =>
  (object as unknown as V1Deployment).spec ?? ({} as never);
const setOf = (object: ApiObject): V1ReplicaSet => object as unknown as V1ReplicaSet;

export function startDeploymentController(deps: RestDeps): ControllerClient {
  const client = new ControllerClient(deps, "deployment-controller");
  const queue = client.queue(async (key) => {
    const [namespace = "", name = ""] = key.split("/");
    const deployment = client.get(DEPLOYMENTS, namespace, name);
    if (deployment === undefined || deployment.metadata.deletionTimestamp !== undefined) return;
    const again = await reconcile(client, deployment);
    if (again > 0) queue.add(key, again);
  });
  client.watch(DEPLOYMENTS, (event) => queue.add(event.key));
  client.watch(REPLICA_SETS, ({ current }) => {
    const owner = controllerOf(current.object);
    if (owner?.kind === "Deployment") queue.add(`${current.object.metadata.namespace}/${owner.name}`);
  });
  client.watch("pods", ({ type, current }) => {
    const { namespace, labels = {} } = current.object.metadata;
    const owner = type === "DELETED" && labels[HASH] !== undefined ? controllerOf(current.object) : undefined;
    if (owner?.kind === "ReplicaSet") queue.add(`${namespace}/${owner.name.replace(/-[^-]+$/, "")}`); // Recreate waits for this
  });
  return client;
}

async function reconcile(client: ControllerClient, deployment: ApiObject): Promise<number> {
  const sets = client.list(REPLICA_SETS, deployment.metadata.namespace).filter(ownedBy(deployment));
  const { current, old } = await currentSet(client, deployment, sets);
  await noteRevision(client, deployment, current);
  const spec = specOf(deployment);
  const desired = spec.replicas ?? 1;
  const rolling = spec.strategy?.rollingUpdate;
  const maxSurge = portion(rolling?.maxSurge, desired, Math.ceil);
  const floor = portion(rolling?.maxUnavailable, desired, Math.floor);
  const plan = planRollout({
    desired,
    maxSurge,
    maxUnavailable: maxSurge === 0 && floor === 0 ? 1 : floor,
    recreate: spec.strategy?.type === "Recreate",
    paused: spec.paused === true,
    current: stateOf(client, current),
    old: old.map((set) => stateOf(client, set)),
  });
  for (const set of [current, ...old]) {
    const replicas = plan.get(set.metadata.name);
    if (replicas !== undefined)
      await client.update(REPLICA_SETS, set, (live) => ({
        ...live,
        spec: { ...(live.spec as object), replicas },
      }));
  }
  await forgetOldSets(client, deployment, old);
  return writeStatus(client, deployment, current);
}

function revisionOf(object: ApiObject): number {
  return Number(object.metadata.annotations?.[REVISION] ?? "0");
}

function withoutHash(template: V1PodTemplateSpec | undefined): unknown {
  const copy = clone(template);
  delete copy?.metadata?.labels?.[HASH];
  return copy;
}

/** The set of the present template: found by content, so that a rollback finds the old one, or new. */
async function currentSet(
  client: ControllerClient,
  deployment: ApiObject,
  sets: readonly ApiObject[],
): Promise<{ current: ApiObject; old: ApiObject[] }> {
  const { template, selector, minReadySeconds } = specOf(deployment);
  const newest = Math.max(0, ...sets.map(revisionOf));
  const found = sets.find((set) => deepEqual(withoutHash(setOf(set).spec?.template), withoutHash(template)));
  const old = sets.filter((set) => set !== found);
  if (found !== undefined) {
    const revision = old.some((set) => revisionOf(set) > revisionOf(found)) ? newest + 1 : revisionOf(found);
    const current = await client.update(REPLICA_SETS, found, (live) => ({
      ...live,
      metadata: {
        ...live.metadata,
        annotations: { ...live.metadata.annotations, [REVISION]: String(revision) },
      },
    }));
    return { current, old };
  }
  const { name, namespace = "" } = deployment.metadata;
  const hash = `${shortHash(template)}${sets.some((set) => set.metadata.name === `${name}-${shortHash(template)}`) ? newest : ""}`;
  const labels = { ...template.metadata?.labels, [HASH]: hash };
  const current = await client.create(REPLICA_SETS, namespace, {
    metadata: {
      name: `${name}-${hash}`,
      labels,
      annotations: {
        [REVISION]: String(newest + 1),
        "deployment.kubernetes.io/desired-replicas": String(specOf(deployment).replicas ?? 1),
      },
      ownerReferences: [ownerReference(deployment)],
    },
    spec: {
      replicas: 0,
      ...(minReadySeconds === undefined ? {} : { minReadySeconds }),
      selector: withLabel(selector, hash),
      template: hashed(template, labels),
    },
  });
  return { current, old };
}

function hashed(template: V1PodTemplateSpec, labels: Record<string, string>): V1PodTemplateSpec {
  const copy = clone(template);
  copy.metadata = Object.assign(copy.metadata ?? {}, { labels });
  return copy;
}

function withLabel(selector: V1LabelSelector, hash: string): V1LabelSelector {
  const copy = clone(selector);
  copy.matchLabels = { ...copy.matchLabels, [HASH]: hash };
  return copy;
}

async function noteRevision(
  client: ControllerClient,
  deployment: ApiObject,
  current: ApiObject,
): Promise<void> {
  const revision = String(revisionOf(current));
  if (deployment.metadata.annotations?.[REVISION] === revision) return;
  await client.update(DEPLOYMENTS, deployment, (live) => ({
    ...live,
    metadata: { ...live.metadata, annotations: { ...live.metadata.annotations, [REVISION]: revision } },
  }));
}

function stateOf(client: ControllerClient, set: ApiObject): SetState {
  const { spec, status } = setOf(set);
  const pods = client
    .list("pods", set.metadata.namespace)
    .filter(ownedBy(set))
    .filter((pod) => isActive(pod) || pod.metadata.deletionTimestamp !== undefined);
  return {
    name: set.metadata.name,
    wanted: spec?.replicas ?? 0,
    available: status?.availableReplicas ?? 0,
    pods: pods.length,
  };
}

async function forgetOldSets(
  client: ControllerClient,
  deployment: ApiObject,
  old: readonly ApiObject[],
): Promise<void> {
  const limit = specOf(deployment).revisionHistoryLimit ?? 10;
  const empty = old.filter(
    (set) => (setOf(set).spec?.replicas ?? 0) === 0 && (setOf(set).status?.replicas ?? 0) === 0,
  );
  const surplus = empty
    .toSorted((a, b) => revisionOf(a) - revisionOf(b))
    .slice(0, Math.max(0, empty.length - limit));
  for (const set of surplus) await client.delete(REPLICA_SETS, set);
}

/** Milliseconds until the progress deadline needs another look, or 0. */
async function writeStatus(
  client: ControllerClient,
  deployment: ApiObject,
  current: ApiObject,
): Promise<number> {
  const { namespace = "", name } = deployment.metadata;
  const live = client.get(DEPLOYMENTS, namespace, name) ?? deployment;
  const spec = specOf(live);
  const desired = spec.replicas ?? 1;
  const counts = countPods(client, deployment, current);
  const complete = Object.values(counts).every((count) => count === desired);
  const conditions = conditionsOf(live, counts, { complete, current, now: client.deps.clock.nowMs() });
  const unavailableReplicas = Math.max(0, counts.replicas - counts.availableReplicas);
  const observedGeneration = live.metadata.generation;
  await client.setStatus(DEPLOYMENTS, live, {
    observedGeneration,
    ...counts,
    unavailableReplicas,
    conditions,
  });
  return complete ? 0 : deadlineMs(spec) + 1000;
}

function deadlineMs(spec: NonNullable<V1Deployment["spec"]>): number {
  return (spec.progressDeadlineSeconds ?? 600) * 1000;
}

interface PodCounts {
  readonly replicas: number;
  readonly updatedReplicas: number;
  readonly readyReplicas: number;
  readonly availableReplicas: number;
}

function countPods(client: ControllerClient, deployment: ApiObject, current: ApiObject): PodCounts {
  const sets = client
    .list(REPLICA_SETS, deployment.metadata.namespace)
    .filter(ownedBy(deployment))
    .map(setOf);
  const sum = (field: "replicas" | "readyReplicas" | "availableReplicas"): number =>
    sets.reduce((total, set) => total + (set.status?.[field] ?? 0), 0);
  const updated = sets.find((set) => set.metadata?.name === current.metadata.name);
  return {
    replicas: sum("replicas"),
    updatedReplicas: updated?.status?.replicas ?? 0,
    readyReplicas: sum("readyReplicas"),
    availableReplicas: sum("availableReplicas"),
  };
}

interface RolloutFacts {
  readonly complete: boolean;
  readonly current: ApiObject;
  readonly now: number;
}

function conditionsOf(
  live: ApiObject,
  counts: PodCounts,
  { complete, current, now }: RolloutFacts,
): JsonMap[] {
  const spec = specOf(live);
  const desired = spec.replicas ?? 1;
  const before = (live as unknown as V1Deployment).status?.conditions;
  const moved = Object.entries(counts).some(
    ([field, count]) => count !== (digNumber(live.status, field) ?? 0),
  );
  const maxUnavailable = portion(spec.strategy?.rollingUpdate?.maxUnavailable, desired, Math.floor);
  const enough = counts.availableReplicas >= desired - maxUnavailable;
  const reason = enough ? "MinimumReplicasAvailable" : "MinimumReplicasUnavailable";
  return [
    condition(before, "Available", enough ? "True" : "False", { reason, now, moved: false }),
    progressing(before, { name: current.metadata.name, complete, moved, now, deadlineMs: deadlineMs(spec) }),
  ];
}
