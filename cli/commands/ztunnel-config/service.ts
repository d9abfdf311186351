/** `ambit ztunnel-config service` */
import { defineCommand } from "../../command.ts";
import { serviceTable, sortedServices } from "../../dump/tables.ts";
import { ExitCode } from "../../exit-codes.ts";
import { renderStructured, type OutputFormat } from "../../render/structured.ts";
import { loadDumps, POD_ARGUMENT, SOURCE_FLAGS } from "./dump-source.ts";

export const serviceCommand = defineCommand({
  name: "service",
  aliases: ["services", "svc", "s"],
  summary: "Services that a ztunnel knows, with their addresses and healthy endpoints",
  args: [POD_ARGUMENT],
  flags: {
    ...SOURCE_FLAGS,
    "service-namespace": { kind: "text", placeholder: "NAMESPACE", help: "only services of this namespace" },
  },
  examples: [
    { command: "ambit ztunnel-config service", meaning: "ENDPOINTS is healthy/all" },
    { command: "ambit zc svc --service-namespace shop -o json", meaning: "One namespace, as JSON" },
  ],
  run: async ({ flags, args }, context) => {
    const { dumps } = await loadDumps(flags, args, "one", context);
    const namespace = flags["service-namespace"]?.toLowerCase();
    const all = dumps.flatMap((d) => d.services);
    const shown = all.filter((s) => namespace === undefined || s.namespace.toLowerCase() === namespace);
    const format = flags.output as OutputFormat;
    context.out(
      format === "short"
        ? serviceTable(shown, all)
        : renderStructured(
            sortedServices(shown).map((s) => s.raw),
            format,
          ),
    );
    return ExitCode.ok;
  },
});
