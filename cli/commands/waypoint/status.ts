/** `ambit waypoint status` */
import { defineCommand } from "../../command.ts";
import { waypointStatusText } from "../../dump/waypoint-tables.ts";
import { reportError } from "../../errors.ts";
import { ExitCode } from "../../exit-codes.ts";
import { OUTPUT_FLAG, type OutputFormat, renderStructured } from "../../render/structured.ts";
import { ALL_NAMESPACES_FLAG, TIMEOUT_FLAG, timeoutMs } from "./flags.ts";
import { notProgrammed, readEnforcement, untilProgrammed } from "./read-waypoints.ts";

export const statusCommand = defineCommand({
  name: "status",
  summary: "Whether waypoints are programmed, that is ready for traffic",
  description:
    "Waits until they are. Exits with 1 when one is not programmed in time. For automatic waypoints each policy behind them follows,\n" +
    "with what the controller says of it: whether it is enforced, what is waited for, and what it does not cover.",
  args: [{ name: "waypoint", help: "only this one" }],
  flags: {
    "all-namespaces": ALL_NAMESPACES_FLAG,
    wait: { kind: "switch", short: "w", default: true, help: "wait until all are programmed" },
    "waypoint-timeout": TIMEOUT_FLAG,
    output: OUTPUT_FLAG,
  },
  examples: [
    { command: "ambit waypoint status -n shop", meaning: "Is it ready?" },
    { command: "ambit waypoint status -A --wait=false", meaning: "How do all stand right now?" },
  ],
  run: async ({ flags, args }, context) => {
    const everywhere = flags["all-namespaces"];
    const limitMs = timeoutMs(flags["waypoint-timeout"]);
    const { waypoints: found, missing } = await untilProgrammed(context, {
      namespace: everywhere ? undefined : context.options.namespace,
      name: args[0],
      timeoutMs: flags.wait ? limitMs : 0,
    });
    const waypoints = await readEnforcement(context, found);
    const format = flags.output as OutputFormat;
    if (format !== "short") context.out(renderStructured(waypoints, format));
    else if (waypoints.length === 0) context.out("No waypoints found.\n");
    else context.out(waypointStatusText(waypoints, everywhere));
    if (waypoints.length === 0) return args[0] === undefined ? ExitCode.ok : ExitCode.notFound;
    if (!flags.wait || missing.length === 0) return ExitCode.ok;
    for (const waypoint of missing) context.note(reportError(notProgrammed(waypoint, limitMs)).text);
    return ExitCode.failed;
  },
});
