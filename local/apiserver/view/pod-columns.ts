/** Pure. The pod line of `kubectl get pods`: its status column sums up phase, reasons and containers. */
import type { V1ContainerStatus, V1Pod } from "@kubernetes/client-node";
import type { ApiObject } from "../object.ts";
import { ageText } from "./age.ts";
import type { Column } from "./columns.ts";

const podOf = (object: ApiObject): V1Pod => object as unknown as V1Pod;

function columnOf(name: string, cell: Column["cell"], priority = 0): Column {
  return { name, cell, priority, type: "string" };
}

function containerReason({ state }: V1ContainerStatus): string | undefined {
  if (state?.waiting?.reason !== undefined) return state.waiting.reason;
  if (state?.terminated === undefined) return undefined;
  const { reason, signal, exitCode } = state.terminated;
  return reason ?? (signal === undefined ? `ExitCode:${exitCode}` : `Signal:${signal}`);
}

function initReason(pod: V1Pod): string | undefined {
  const statuses = pod.status?.initContainerStatuses ?? [];
  const at = statuses.findIndex(
    (status) => status.state?.terminated?.exitCode !== 0 && !(status.started === true && status.ready),
  );
  const blocking = statuses[at];
  if (blocking === undefined) return undefined;
  const why = containerReason(blocking);
  return why === undefined || why === "PodInitializing"
    ? `Init:${at}/${pod.spec?.initContainers?.length ?? 0}`
    : `Init:${why}`;
}

export function podStatusText(object: ApiObject): string {
  const pod = podOf(object);
  if (object.metadata.deletionTimestamp !== undefined) return "Terminating";
  const init = initReason(pod);
  if (init !== undefined) return init;
  const statuses = pod.status?.containerStatuses ?? [];
  const reason = statuses.map(containerReason).findLast((why) => why !== undefined);
  if (
    reason === "Completed" &&
    statuses.some((status) => status.state?.running !== undefined && status.ready)
  )
    return "Running";
  return reason ?? pod.status?.reason ?? pod.status?.phase ?? "Unknown";
}

function restarts(object: ApiObject): string {
  return String(
    (podOf(object).status?.containerStatuses ?? []).reduce((sum, status) => sum + status.restartCount, 0),
  );
}

function readyCount(object: ApiObject): string {
  const ready = (podOf(object).status?.containerStatuses ?? []).filter((status) => status.ready).length;
  return `${ready}/${podOf(object).spec?.containers.length ?? 0}`;
}

export const podColumns: readonly Column[] = [
  columnOf("Name", (object) => object.metadata.name),
  columnOf("Ready", readyCount),
  columnOf("Status", podStatusText),
  columnOf("Restarts", restarts),
  columnOf("Age", (object, now) => ageText(object.metadata.creationTimestamp, now)),
  columnOf("IP", (object) => podOf(object).status?.podIP ?? "<none>", 1),
  columnOf("Node", (object) => podOf(object).spec?.nodeName ?? "<none>", 1),
  columnOf("Nominated Node", (object) => podOf(object).status?.nominatedNodeName ?? "<none>", 1),
  columnOf("Readiness Gates", () => "<none>", 1),
];
