/** Deployments: a ReplicaSet per template, numbered by revision; rolling update, recreate, history, status for `rollout status`. */
import type {
  V1Deployment,
  V1DeploymentCondition,
  V1PodTemplateSpec,
  V1ReplicaSet,
} from "@kubernetes/client-node";
import { type ApiObject, clone, deepEqual, type JsonMap, timestamp } from "../object.ts";
import type { RestDeps } from "../rest/context.ts";
import { ControllerClient, controllerOf, ownerReference, shortHash } from "./controller-client.ts";
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
      selector: { ...selector, matchLabels: { ...selector.matchLabels, [HASH]: hash } },
      template: { ...template, metadata: { ...template.metadata, labels } },
    },
  });
  return { current, old };
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
  const live =
    client.get(DEPLOYMENTS, deployment.metadata.namespace ?? "", deployment.metadata.name) ?? deployment;
  const sets = client
    .list(REPLICA_SETS, deployment.metadata.namespace)
    .filter(ownedBy(deployment))
    .map(setOf);
  const sum = (field: "replicas" | "readyReplicas" | "availableReplicas"): number =>
    sets.reduce((total, set) => total + (set.status?.[field] ?? 0), 0);
  const spec = specOf(live);
  const desired = spec.replicas ?? 1;
  const updated = sets.find((set) => set.metadata?.name === current.metadata.name)?.status?.replicas ?? 0;
  const counts = {
    replicas: sum("replicas"),
    updatedReplicas: updated,
    readyReplicas: sum("readyReplicas"),
    availableReplicas: sum("availableReplicas"),
  };
  const complete = updated === desired && counts.replicas === updated && counts.availableReplicas === updated;
  const now = client.deps.clock.nowMs();
  const before = (live as unknown as V1Deployment).status;
  const minAvailable = desired - portion(spec.strategy?.rollingUpdate?.maxUnavailable, desired, Math.floor);
  const moved = !deepEqual(counts, {
    replicas: before?.replicas ?? 0,
    updatedReplicas: before?.updatedReplicas ?? 0,
    readyReplicas: before?.readyReplicas ?? 0,
    availableReplicas: before?.availableReplicas ?? 0,
  });
  const conditions = [
    condition(before?.conditions, "Available", counts.availableReplicas >= minAvailable ? "True" : "False", {
      reason:
        counts.availableReplicas >= minAvailable ? "MinimumReplicasAvailable" : "MinimumReplicasUnavailable",
      now,
      moved: false,
    }),
    progressing(before?.conditions, {
      name: current.metadata.name,
      complete,
      moved,
      now,
      deadlineMs: (spec.progressDeadlineSeconds ?? 600) * 1000,
    }),
  ];
  await client.setStatus(DEPLOYMENTS, live, {
    observedGeneration: live.metadata.generation,
    ...counts,
    unavailableReplicas: Math.max(0, counts.replicas - counts.availableReplicas),
    conditions,
  });
  return complete ? 0 : (spec.progressDeadlineSeconds ?? 600) * 1000 + 1000;
}

interface ConditionFacts {
  readonly reason: string;
  readonly now: number;
  /** Counts as news although status and reason stay. */
  readonly moved: boolean;
}

const MESSAGES: Readonly<Record<string, string>> = {
  MinimumReplicasAvailable: "Deployment has minimum availability.",
  MinimumReplicasUnavailable: "Deployment does not have minimum availability.",
};

function condition(
  before: readonly V1DeploymentCondition[] | undefined,
  type: string,
  status: string,
  facts: ConditionFacts,
): JsonMap {
  const last = before?.find((known) => known.type === type);
  const time = timestamp(facts.now);
  const same = last?.status === status && last.reason === facts.reason && !facts.moved;
  return {
    type,
    status,
    reason: facts.reason,
    message: MESSAGES[facts.reason] ?? facts.reason,
    lastUpdateTime: same ? last.lastUpdateTime : time,
    lastTransitionTime: last?.status === status ? last.lastTransitionTime : time,
  };
}

interface Progress {
  readonly name: string;
  readonly complete: boolean;
  readonly moved: boolean;
  readonly now: number;
  readonly deadlineMs: number;
}

function progressing(
  before: readonly V1DeploymentCondition[] | undefined,
  { name, complete, moved, now, deadlineMs }: Progress,
): JsonMap {
  const last = before?.find((known) => known.type === "Progressing");
  const overdue =
    !complete &&
    !moved &&
    last !== undefined &&
    last.reason !== "NewReplicaSetAvailable" &&
    now - Date.parse(String(last.lastUpdateTime)) > deadlineMs;
  const reason = complete
    ? "NewReplicaSetAvailable"
    : overdue
      ? "ProgressDeadlineExceeded"
      : "ReplicaSetUpdated";
  const verb = complete
    ? "has successfully progressed"
    : overdue
      ? "has timed out progressing"
      : "is progressing";
  return {
    ...condition(before, "Progressing", overdue ? "False" : "True", {
      reason,
      now,
      moved: moved && !complete,
    }),
    message: `ReplicaSet "${name}" ${verb}.`,
  };
}
