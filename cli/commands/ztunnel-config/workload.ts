/** `ambit ztunnel-config workload` */
import { defineCommand } from "../../command.ts";
import { sortedWorkloads, workloadTable } from "../../dump/tables.ts";
import type { DumpedWorkload } from "../../dump/ztunnel-dump.ts";
import { ExitCode } from "../../exit-codes.ts";
import { renderStructured, type OutputFormat } from "../../render/structured.ts";
import { loadDumps, POD_ARGUMENT, SOURCE_FLAGS, type PodFocus } from "./dump-source.ts";
import { whyNotCaptured } from "./why-not-captured.ts";

export const workloadCommand = defineCommand({
  name: "workload",
  aliases: ["workloads", "w"],
  summary: "Workloads that a ztunnel knows, and how each is reached",
  description:
    "PROTOCOL is HBONE for pods of the mesh and TCP for all others. WAYPOINT is the service of the waypoint in charge.\n" +
    "For one pod that labels ask into the mesh and that cannot be in it, the reason is added.",
  args: [POD_ARGUMENT],
  flags: {
    ...SOURCE_FLAGS,
    address: { kind: "text", placeholder: "IP", help: "only workloads with this address" },
    "workload-namespace": {
      kind: "text",
      placeholder: "NAMESPACE",
      help: "only workloads of this namespace",
    },
    "workload-node": { kind: "text", placeholder: "NODE", help: "only workloads on this node" },
  },
  examples: [
    { command: "ambit ztunnel-config workload", meaning: "Everything that the mesh knows" },
    {
      command: "ambit zc w --workload-namespace shop",
      meaning: "Is the namespace enrolled? PROTOCOL says HBONE",
    },
    { command: "ambit zc workload catalog-0.shop -o yaml", meaning: "All that ztunnel knows of one pod" },
  ],
  run: async ({ flags, args }, context) => {
    const { dumps, focus, from } = await loadDumps(flags, args, "one", context);
    const workloads = dumps.flatMap((d) => d.workloads).filter((w) => isWanted(w, flags, focus));
    const format = flags.output as OutputFormat;
    context.out(
      format === "short"
        ? workloadTable(
            workloads,
            dumps.flatMap((d) => d.services),
          )
        : renderStructured(
            sortedWorkloads(workloads).map((w) => w.raw),
            format,
          ),
    );
    const plain = focus === undefined ? undefined : workloads.find((w) => w.protocol === "TCP");
    if (plain !== undefined && from !== undefined)
      for (const sentence of await whyNotCaptured(plain, from.access, context)) context.note(sentence);
    return ExitCode.ok;
  },
});

interface WorkloadFlags {
  readonly address: string | undefined;
  readonly "workload-namespace": string | undefined;
  readonly "workload-node": string | undefined;
}

function isWanted(workload: DumpedWorkload, flags: WorkloadFlags, focus: PodFocus | undefined): boolean {
  const { address, "workload-namespace": namespace, "workload-node": node } = flags;
  if (address !== undefined && !workload.ips.includes(address)) return false;
  if (namespace !== undefined && workload.namespace.toLowerCase() !== namespace.toLowerCase()) return false;
  if (node !== undefined && workload.node.toLowerCase() !== node.toLowerCase()) return false;
  return focus === undefined || (focus.namespace === workload.namespace && focus.name === workload.name);
}
