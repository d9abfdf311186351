/** `ambit ztunnel-config connections` */
import { defineCommand } from "../../command.ts";
import { connectionTable, isWanted, type ConnectionFilter } from "../../dump/connection-table.ts";
import type { PreEnrolmentConnection } from "../../dump/pre-enrolment.ts";
import { byNamespaceAndName } from "../../dump/tables.ts";
import type { ZtunnelDump } from "../../dump/ztunnel-dump.ts";
import { ExitCode } from "../../exit-codes.ts";
import { renderStructured, type OutputFormat } from "../../render/structured.ts";
import { loadDumps, POD_ARGUMENT, SOURCE_FLAGS } from "./dump-source.ts";
import { olderConnections } from "./older-connections.ts";

export const connectionsCommand = defineCommand({
  name: "connections",
  aliases: ["connection", "cons"],
  summary: "Open connections of the mesh's pods, older ones that bypass it included",
  description:
    "PROTOCOL is HBONE (mutual TLS), LOCAL (between pods of one node, inside one ztunnel), TCP (plain), or\n" +
    "pre-enrolment: older than the pod's enrolment, not encrypted, left alone until it ends or a policy covers the pod.\n" +
    "Every ztunnel is asked unless a pod, --node or --file is given.",
  args: [POD_ARGUMENT],
  flags: {
    ...SOURCE_FLAGS,
    direction: { kind: "choice", choices: ["inbound", "outbound"], help: "only this direction" },
    raw: { kind: "switch", help: "show addresses instead of names" },
    "workload-namespace": { kind: "text", placeholder: "NAMESPACE", help: "only pods of this namespace" },
  },
  examples: [
    { command: "ambit ztunnel-config connections", meaning: "Who talks to whom, and how" },
    {
      command: "ambit zc cons --workload-namespace shop --direction inbound",
      meaning: "Who is served by a namespace",
    },
    { command: "ambit zc cons --raw | grep pre-enrolment", meaning: "What still bypasses the mesh" },
  ],
  run: async ({ flags, args }, context) => {
    const { dumps, focus, from } = await loadDumps(flags, args, "every", context);
    const older =
      from === undefined ? { connections: [], problems: [] } : await olderConnections(from, context);
    const filter: ConnectionFilter = {
      namespace: flags["workload-namespace"] ?? "",
      direction: (flags.direction ?? "") as ConnectionFilter["direction"],
      raw: flags.raw,
      pod: focus,
    };
    const format = flags.output as OutputFormat;
    context.out(
      format === "short"
        ? connectionTable(dumps, older.connections, filter)
        : renderStructured(structured(dumps, older.connections, filter), format),
    );
    for (const problem of older.problems)
      context.note(`Connections older than the enrolment are unknown: ${problem}`);
    return older.problems.length === 0 ? ExitCode.ok : ExitCode.failed;
  },
});

/** istioctl's list of pods, each older connection added to its pod under `preEnrolment`. */
function structured(
  dumps: readonly ZtunnelDump[],
  older: readonly PreEnrolmentConnection[],
  filter: ConnectionFilter,
): unknown {
  const pods = byNamespaceAndName(dumps.flatMap((d) => d.pods).filter((pod) => isWanted(pod, filter)));
  const olderOf = (pod: { readonly namespace: string; readonly name: string }): readonly unknown[] =>
    older.filter((c) => c.namespace === pod.namespace && c.name === pod.name).map((c) => c.raw);
  const listed = pods.map((pod) => {
    const preEnrolment = olderOf(pod);
    return preEnrolment.length === 0 ? pod.raw : { ...pod.raw, preEnrolment };
  });
  const unknown = older.filter(
    (c) => isWanted(c, filter) && !pods.some((pod) => pod.namespace === c.namespace && pod.name === c.name),
  );
  const strays = new Map(unknown.map((c) => [`${c.namespace}/${c.name}`, c]));
  return [
    ...listed,
    ...[...strays.values()].map(({ namespace, name }) => ({
      info: { namespace, name },
      preEnrolment: olderOf({ namespace, name }),
    })),
  ];
}
