/** `ambit waypoint generate` */
import { defineCommand } from "../../command.ts";
import { waypointManifest } from "../../dump/waypoint-manifest.ts";
import { ExitCode } from "../../exit-codes.ts";
import { renderStructured } from "../../render/structured.ts";
import { checkName, FOR_FLAG, NAME_FLAG, REVISION_FLAG } from "./flags.ts";

export const generateCommand = defineCommand({
  name: "generate",
  summary: "The Gateway of an explicit waypoint, as YAML to keep or apply",
  flags: {
    name: NAME_FLAG,
    for: FOR_FLAG,
    revision: REVISION_FLAG,
    output: {
      kind: "choice",
      short: "o",
      choices: ["yaml", "json"],
      default: "yaml",
      help: "how to print",
    },
  },
  examples: [
    { command: "ambit waypoint generate -n shop", meaning: "A waypoint for the services of the shop" },
    {
      command: "ambit waypoint generate --name edge --for all | kubectl apply -f -",
      meaning: "Another name, pods too",
    },
  ],
  run: ({ flags }, context) => {
    const { namespace } = context.options;
    const manifest = waypointManifest({
      name: checkName(flags.name),
      namespace: namespace === "default" ? undefined : namespace,
      trafficType: flags.for,
      revision: flags.revision,
    });
    context.out(renderStructured(manifest, flags.output as "yaml" | "json"));
    return Promise.resolve(ExitCode.ok);
  },
});
