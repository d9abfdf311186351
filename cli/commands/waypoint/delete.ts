/** `ambit waypoint delete` */
import { GATEWAY } from "#core/k8s/kinds.ts";
import { AmbitError } from "#core/runtime/errors.ts";
import { defineCommand } from "../../command.ts";
import { usageError } from "../../errors.ts";
import { ExitCode } from "../../exit-codes.ts";
import type { WaypointView } from "../../dump/waypoint-view.ts";
import { REVISION_FLAG } from "./flags.ts";
import { readWaypoints } from "./read-waypoints.ts";

export const deleteCommand = defineCommand({
  name: "delete",
  summary: "Deletes explicit waypoints of a namespace",
  description:
    "Automatic waypoints are not deleted: they go by themselves when no policy needs them any more (`ambit waypoint list` names them).",
  args: [{ name: "waypoint", help: "names of waypoints", repeated: true }],
  flags: {
    all: { kind: "switch", help: "all explicit waypoints of the namespace" },
    revision: { ...REVISION_FLAG, help: "with --all: only those of this revision" },
  },
  examples: [
    { command: "ambit waypoint delete -n shop waypoint", meaning: "One by its name" },
    { command: "ambit waypoint delete -n shop --all", meaning: "All that people made" },
  ],
  run: async ({ flags, args }, context) => {
    if (flags.all && args.length > 0) throw usageError("give names or --all, not both");
    if (!flags.all && args.length === 0) throw usageError("name a waypoint, or delete all with --all");
    const { namespace } = context.options;
    const there = await readWaypoints(context, namespace);
    const chosen = flags.all ? ofRevision(there, flags.revision) : named(there, args, namespace);
    const { objects } = await context.cluster();
    if (chosen.length === 0) context.out("No waypoints found.\n");
    for (const { name } of chosen) {
      await objects.delete(GATEWAY, { namespace, name });
      context.out(`waypoint ${namespace}/${name} deleted\n`);
    }
    return ExitCode.ok;
  },
});

function ofRevision(
  waypoints: readonly WaypointView[],
  revision: string | undefined,
): readonly WaypointView[] {
  return waypoints.filter((w) => !w.automatic && (revision === undefined || w.revision === revision));
}

/** All are looked up before any is deleted. */
function named(
  waypoints: readonly WaypointView[],
  names: readonly string[],
  namespace: string,
): readonly WaypointView[] {
  return [...new Set(names)].map((name) => {
    const found = waypoints.find((w) => w.name === name);
    if (found === undefined)
      throw new AmbitError("CLI_NO_WAYPOINT", `there is no waypoint ${name} in namespace ${namespace}`);
    if (!found.automatic) return found;
    const policies = [...new Set(found.reasons.map((reason) => reason.policy))].join(", ");
    throw usageError(
      `${namespace}/${name} was made by the controller for ${policies || "policies that are gone"}: it goes by itself with them`,
    );
  });
}
