/** `ambit waypoint list` */
import { defineCommand } from "../../command.ts";
import { waypointListText } from "../../dump/waypoint-tables.ts";
import { ExitCode } from "../../exit-codes.ts";
import { OUTPUT_FLAG, type OutputFormat, renderStructured } from "../../render/structured.ts";
import { printableLines } from "../../render/printable.ts";
import { ALL_NAMESPACES_FLAG } from "./flags.ts";
import { readEnforcement, readWaypoints, readWhyNone } from "./read-waypoints.ts";

export const listCommand = defineCommand({
  name: "list",
  summary: "Waypoints of a namespace, and why they are there; or why there is none",
  description:
    "TRAFFIC TYPE is what a waypoint serves: an automatic one serves whatever its policies cover. For automatic waypoints each\n" +
    "policy and field follows that made them necessary, with its stage on the way to being enforced (`ambit waypoint status` tells\n" +
    "what a stage waits for), and whether it is.",
  flags: { "all-namespaces": ALL_NAMESPACES_FLAG, output: OUTPUT_FLAG },
  examples: [
    { command: "ambit waypoint list -n shop", meaning: "Does the shop have a waypoint, and why?" },
    { command: "ambit waypoint list -A", meaning: "All there are" },
    { command: "ambit waypoint list -n shop -o json", meaning: "The same for programs" },
  ],
  run: async ({ flags }, context) => {
    const everywhere = flags["all-namespaces"];
    const { namespace } = context.options;
    const found = await readWaypoints(context, everywhere ? undefined : namespace);
    const waypoints = await readEnforcement(context, found);
    const format = flags.output as OutputFormat;
    const why = waypoints.length > 0 || everywhere ? [] : await readWhyNone(context, namespace);
    if (format !== "short") {
      context.out(renderStructured(waypoints, format));
      for (const sentence of why) context.note(sentence);
    } else if (waypoints.length === 0)
      context.out(printableLines(`${["No waypoints found.", ...why].join("\n")}\n`));
    else context.out(waypointListText(waypoints, everywhere));
    return ExitCode.ok;
  },
});
