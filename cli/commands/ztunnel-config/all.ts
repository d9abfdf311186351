/** `ambit ztunnel-config all` */
import { defineCommand } from "../../command.ts";
import { connectionTable } from "../../dump/connection-table.ts";
import { certificateTable, policyTable, serviceTable, workloadTable } from "../../dump/tables.ts";
import type { ZtunnelDump } from "../../dump/ztunnel-dump.ts";
import { ExitCode } from "../../exit-codes.ts";
import { renderStructured, type OutputFormat } from "../../render/structured.ts";
import { loadDumps, POD_ARGUMENT, SOURCE_FLAGS } from "./dump-source.ts";

export const allCommand = defineCommand({
  name: "all",
  summary: "Everything that one ztunnel holds",
  description:
    "-o json prints the dump as the ztunnel gave it, which every ztunnel-config command reads back with --file.",
  args: [POD_ARGUMENT],
  flags: { ...SOURCE_FLAGS, "with-headers": { kind: "switch", help: "print a title above each table" } },
  examples: [
    { command: "ambit ztunnel-config all --with-headers", meaning: "Five tables" },
    { command: "ambit zc all --node n1 -o json > dump.json", meaning: "Keep a dump for later" },
    { command: "ambit zc workload -f dump.json", meaning: "Look into it" },
  ],
  run: async ({ flags, args }, context) => {
    const { dumps } = await loadDumps(flags, args, "one", context);
    const format = flags.output as OutputFormat;
    for (const dump of dumps)
      context.out(
        format === "short"
          ? allTables(dump, context.clock.nowMs(), flags["with-headers"])
          : renderStructured(dump.raw, format),
      );
    return ExitCode.ok;
  },
});

function allTables(dump: ZtunnelDump, nowMs: number, withHeaders: boolean): string {
  const filter = { namespace: "", direction: "", raw: false } as const;
  const tables = [
    { title: "WORKLOAD", text: workloadTable(dump.workloads, dump.services) },
    { title: "SERVICE", text: serviceTable(dump.services, dump.services) },
    { title: "POLICY", text: policyTable(dump.policies) },
    { title: "SECRET", text: certificateTable(dump.certificates, nowMs) },
    { title: "CONNECTIONS", text: connectionTable([dump], [], filter) },
  ];
  return withHeaders
    ? tables.map(({ title, text }) => `\n------ ${title} INFO ------\n\n${text}`).join("")
    : tables.map(({ text }) => text).join("\n");
}
