/** `ambit ztunnel-config certificate` */
import { defineCommand } from "../../command.ts";
import { certificateTable } from "../../dump/tables.ts";
import { ExitCode } from "../../exit-codes.ts";
import { renderStructured, type OutputFormat } from "../../render/structured.ts";
import { loadDumps, POD_ARGUMENT, SOURCE_FLAGS } from "./dump-source.ts";

export const certificateCommand = defineCommand({
  name: "certificate",
  aliases: ["certificates", "certs", "cert"],
  summary: "Certificates that ztunnels hold, one identity per service account",
  description:
    "Every ztunnel is asked unless a pod, --node or --file is given. The serial number is the one of `src.cert_serial` and\n`dst.cert_serial` in the access log.",
  args: [POD_ARGUMENT],
  flags: SOURCE_FLAGS,
  examples: [
    { command: "ambit ztunnel-config certificate", meaning: "All identities, and until when they hold" },
    { command: "ambit zc certs --node n1 -o json", meaning: "The chains of one node, PEM included" },
  ],
  run: async ({ flags, args }, context) => {
    const { dumps } = await loadDumps(flags, args, "every", context);
    const certificates = dumps.flatMap((d) => d.certificates);
    const format = flags.output as OutputFormat;
    context.out(
      format === "short"
        ? certificateTable(certificates, context.clock.nowMs())
        : renderStructured(
            certificates.map((c) => c.raw),
            format,
          ),
    );
    return ExitCode.ok;
  },
});
