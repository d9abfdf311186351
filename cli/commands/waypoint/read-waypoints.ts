/** What the commands of `ambit waypoint` ask the cluster for, and how they wait. */
import type { JsonObject } from "#core/k8s/json-read.ts";
import { kubeStatus } from "#core/k8s/kube-client.ts";
import { AUTHORIZATION_POLICY, GATEWAY, NAMESPACE } from "#core/k8s/kinds.ts";
import { AmbitError } from "#core/runtime/errors.ts";
import type { CommandContext } from "../../context.ts";
import { withEnforcement } from "../../dump/waypoint-enforcement.ts";
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

/** With what is said of the policies behind automatic ones. */
export async function readEnforcement(
  context: CommandContext,
  waypoints: readonly WaypointView[],
): Promise<readonly WaypointView[]> {
  const namespaces = new Set(
    waypoints.flatMap(({ reasons }) => reasons.map(({ policy }) => policy.split("/")[0] ?? "")),
  );
  const lists = [...namespaces].map((namespace) => readPolicies(context, namespace));
  return withEnforcement(waypoints, (await Promise.all(lists)).flat());
}

/** Sentences for a namespace without a waypoint. */
export async function readWhyNone(context: CommandContext, namespace: string): Promise<readonly string[]> {
  const { objects } = await context.cluster();
  const object = await objects.get(NAMESPACE, { namespace: "", name: namespace });
  if (object === undefined) throw new AmbitError("CLI_NO_NAMESPACE", `there is no namespace ${namespace}`);
  const root = context.options.systemNamespace;
  const own = await objects.list(AUTHORIZATION_POLICY, namespace);
  const meshWide = namespace === root ? [] : await readPolicies(context, root);
  return whyNoWaypoint({ namespace: object, policies: [...own, ...meshWide] });
}

/** Who owns just one namespace may not see those of another, such as the mesh's: the answer is given without, and says so. */
async function readPolicies(context: CommandContext, namespace: string): Promise<readonly JsonObject[]> {
  const { objects } = await context.cluster();
  try {
    return await objects.list(AUTHORIZATION_POLICY, namespace);
  } catch (error) {
    if (kubeStatus(error) !== 403) throw error;
    const reach = namespace === context.options.systemNamespace ? " They hold for the whole mesh." : "";
    context.note(`Policies of namespace ${namespace} were not looked at: you may not list them.${reach}`);
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
