/** `ambit waypoint apply` */
import { GATEWAY, NAMESPACE } from "#core/k8s/kinds.ts";
import { projectNamespace } from "#core/k8s/project.ts";
import { LABEL_DATAPLANE_MODE, LABEL_USE_WAYPOINT } from "#core/model/well-known.ts";
import { AmbitError } from "#core/runtime/errors.ts";
import { defineCommand } from "../../command.ts";
import type { CommandContext } from "../../context.ts";
import { waypointManifest } from "../../dump/waypoint-manifest.ts";
import { ExitCode } from "../../exit-codes.ts";
import { checkName, FOR_FLAG, NAME_FLAG, REVISION_FLAG, TIMEOUT_FLAG, timeoutMs } from "./flags.ts";
import { notProgrammed, untilProgrammed } from "./read-waypoints.ts";

export const applyCommand = defineCommand({
  name: "apply",
  summary: "Makes an explicit waypoint, and puts it in charge of the namespace if asked",
  description:
    "A waypoint is in charge of what the label istio.io/use-waypoint names it for. It takes precedence over automatic ones.",
  flags: {
    name: NAME_FLAG,
    for: FOR_FLAG,
    "enroll-namespace": { kind: "switch", help: "label the namespace istio.io/use-waypoint" },
    overwrite: { kind: "switch", help: "replace such a label that names another waypoint" },
    revision: REVISION_FLAG,
    wait: { kind: "switch", short: "w", help: "wait until the waypoint is programmed" },
    "waypoint-timeout": TIMEOUT_FLAG,
  },
  examples: [
    {
      command: "ambit waypoint apply -n shop --enroll-namespace --wait",
      meaning: "A waypoint for all services of the shop",
    },
    {
      command: "ambit waypoint apply -n shop --name edge --for workload",
      meaning: "One for pods, not used by anything yet",
    },
  ],
  run: async ({ flags }, context) => {
    const { namespace } = context.options;
    const name = checkName(flags.name);
    const limitMs = timeoutMs(flags["waypoint-timeout"]);
    const enrol = flags["enroll-namespace"]
      ? await planEnrolment(context, { namespace, name, overwrite: flags.overwrite })
      : undefined;
    const { objects } = await context.cluster();
    const { for: trafficType, revision } = flags;
    await objects.apply(GATEWAY, waypointManifest({ name, namespace, trafficType, revision }));
    context.out(`waypoint ${namespace}/${name} applied\n`);
    if (flags.wait) await wait(context, { namespace, name, limitMs });
    await enrol?.();
    return ExitCode.ok;
  },
});

interface Enrolment {
  readonly namespace: string;
  readonly name: string;
  readonly overwrite: boolean;
}

/** Checks first, so that nothing is made when the namespace must not be touched. Returns what then labels it. */
async function planEnrolment(
  context: CommandContext,
  { namespace, name, overwrite }: Enrolment,
): Promise<() => Promise<void>> {
  const { objects } = await context.cluster();
  const raw = await objects.get(NAMESPACE, { namespace: "", name: namespace });
  if (raw === undefined) throw new AmbitError("CLI_NO_NAMESPACE", `there is no namespace ${namespace}`);
  const { labels } = projectNamespace(raw).metadata;
  const present = labels[LABEL_USE_WAYPOINT];
  if (present !== undefined && present !== name && !overwrite)
    throw new AmbitError(
      "CLI_ENROLLED",
      `namespace ${namespace} has the label ${LABEL_USE_WAYPOINT}=${present}`,
    );
  if (labels[LABEL_DATAPLANE_MODE] !== "ambient")
    context.note(
      `Warning: namespace ${namespace} is not in the mesh. Enrol it with \`kubectl label namespace ${namespace} ${LABEL_DATAPLANE_MODE}=ambient\`.`,
    );
  return async () => {
    await objects.patch(
      NAMESPACE,
      { namespace: "", name: namespace },
      { metadata: { labels: { [LABEL_USE_WAYPOINT]: name } } },
    );
    context.out(`namespace ${namespace} labeled with "${LABEL_USE_WAYPOINT}: ${name}"\n`);
  };
}

async function wait(
  context: CommandContext,
  {
    namespace,
    name,
    limitMs,
  }: { readonly namespace: string; readonly name: string; readonly limitMs: number },
): Promise<void> {
  const { waypoints, missing } = await untilProgrammed(context, { namespace, name, timeoutMs: limitMs });
  const [first] = missing;
  if (first !== undefined) throw notProgrammed(first, limitMs);
  if (waypoints.length === 0)
    throw new AmbitError("CLI_NO_WAYPOINT", `waypoint ${namespace}/${name} was deleted meanwhile`);
}
