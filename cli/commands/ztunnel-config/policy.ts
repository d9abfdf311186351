/** `ambit ztunnel-config policy` */
import { defineCommand } from "../../command.ts";
import { byNamespaceAndName, policyTable } from "../../dump/tables.ts";
import { ExitCode } from "../../exit-codes.ts";
import { renderStructured, type OutputFormat } from "../../render/structured.ts";
import { loadDumps, POD_ARGUMENT, SOURCE_FLAGS } from "./dump-source.ts";

export const policyCommand = defineCommand({
  name: "policy",
  aliases: ["policies", "pol", "p"],
  summary: "Authorization policies that a ztunnel enforces",
  args: [POD_ARGUMENT],
  flags: {
    ...SOURCE_FLAGS,
    "policy-namespace": { kind: "text", placeholder: "NAMESPACE", help: "only policies of this namespace" },
  },
  examples: [
    { command: "ambit ztunnel-config policy", meaning: "Has my policy arrived?" },
    { command: "ambit zc pol --policy-namespace shop -o yaml", meaning: "With all rules" },
  ],
  run: async ({ flags, args }, context) => {
    const { dumps } = await loadDumps(flags, args, "one", context);
    const namespace = flags["policy-namespace"]?.toLowerCase();
    const shown = dumps
      .flatMap((d) => d.policies)
      .filter((p) => namespace === undefined || p.namespace.toLowerCase() === namespace);
    const format = flags.output as OutputFormat;
    context.out(
      format === "short"
        ? policyTable(shown)
        : renderStructured(
            byNamespaceAndName(shown).map((p) => p.raw),
            format,
          ),
    );
    return ExitCode.ok;
  },
});
