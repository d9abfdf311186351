/** What the commands of `ambit waypoint` ask the cluster for, and how they wait. */
import type { JsonObject } from "#core/k8s/json-read.ts";
import { kubeStatus } from "#core/k8s/kube-client.ts";
import { AUTHORIZATION_POLICY, GATEWAY, NAMESPACE } from "#core/k8s/kinds.ts";
import { AmbitError } from "#core/runtime/errors.ts";
import type { CommandContext } from "../../context.ts";
import { whyNoWaypoint } from "../../dump/why-no-waypoint.ts";
import { type WaypointView, waypointViews } from "../../dump/waypoint-view.ts";

const LOOK_EVERY_MS = 500;

/** `namespace` undefined: of all namespaces. */
export async function readWaypoints(
  context: CommandContext,
  namespace: string | undefined,
): Promise<readonly WaypointView[]> {
  const { objects } = await context.cluster();
  return waypointViews(await objects.list(GATEWAY, namespace));
}

/** Sentences for a namespace without a waypoint. */
export async function readWhyNone(context: CommandContext, namespace: string): Promise<readonly string[]> {
  const { objects } = await context.cluster();
  const object = await objects.get(NAMESPACE, { namespace: "", name: namespace });
  if (object === undefined) throw new AmbitError("CLI_NO_NAMESPACE", `there is no namespace ${namespace}`);
  const root = context.options.systemNamespace;
  const own = await objects.list(AUTHORIZATION_POLICY, namespace);
  const meshWide = namespace === root ? [] : await readMeshWide(context, root);
  return whyNoWaypoint({ namespace: object, policies: [...own, ...meshWide] });
}

/** Who owns just a namespace may not see the mesh's: the answer is given without, and says so. */
async function readMeshWide(context: CommandContext, root: string): Promise<readonly JsonObject[]> {
  const { objects } = await context.cluster();
  try {
    return await objects.list(AUTHORIZATION_POLICY, root);
  } catch (error) {
    if (kubeStatus(error) !== 403) throw error;
    context.note(
      `Policies of namespace ${root} were not looked at: you may not list them. They hold for the whole mesh.`,
    );
    return [];
  }
}

export interface Wait {
  readonly namespace: string | undefined;
  /** Undefined: every waypoint there. */
  readonly name: string | undefined;
  readonly timeoutMs: number;
}

export interface Waited {
  readonly waypoints: readonly WaypointView[];
  /** Those that were not programmed in time. */
  readonly missing: readonly WaypointView[];
}

/** Looks at once, then again until all are programmed. */
export async function untilProgrammed(context: CommandContext, wait: Wait): Promise<Waited> {
  const end = context.clock.monotonicMs() + wait.timeoutMs;
  for (;;) {
    const all = await readWaypoints(context, wait.namespace);
    const waypoints = all.filter((w) => wait.name === undefined || w.name === wait.name);
    const missing = waypoints.filter((w) => w.programmed.status !== "True");
    const isThere = wait.name === undefined || waypoints.length > 0;
    if ((isThere && missing.length === 0) || context.clock.monotonicMs() >= end)
      return { waypoints, missing };
    await context.clock.sleep(LOOK_EVERY_MS, context.signal);
  }
}

export function notProgrammed({ namespace, name, programmed }: WaypointView, waitedMs: number): AmbitError {
  const why = [programmed.reason, programmed.message].filter((text) => text !== "").join(": ");
  return new AmbitError(
    "CLI_NOT_PROGRAMMED",
    `waypoint ${namespace}/${name} is not programmed after ${waitedMs / 1_000} s: ${why || "no word from the controller"}`,
  );
}
