/** `ambit proxy-status` */
import { describeProblems } from "#core/base/parse-result.ts";
import { AmbitError } from "#core/runtime/errors.ts";
import { controllerStatuses } from "../cluster/controller-status.ts";
import { defineCommand } from "../command.ts";
import type { CommandContext } from "../context.ts";
import { parseSyncStatus } from "../dump/sync-status.ts";
import {
  shortName,
  statusTable,
  unhealthyTypes,
  verboseStatusTable,
  type ControllerStatus,
} from "../dump/sync-table.ts";
import { ExitCode } from "../exit-codes.ts";
import { OUTPUT_FLAG, renderStructured, type OutputFormat } from "../render/structured.ts";

export const proxyStatusCommand = defineCommand({
  name: "proxy-status",
  aliases: ["ps"],
  summary: "Which proxies are connected, and whether they have what they should have",
  description:
    "SYNCED: acknowledged what was sent last. STALE: not yet. NOT SENT: nothing to send so far. ERROR: refused it.\n" +
    "Exits with 1 when a proxy has refused its configuration, or when none is connected.",
  args: [{ name: "proxy", help: "only proxies whose name contains this" }],
  flags: {
    output: OUTPUT_FLAG,
    verbosity: {
      kind: "integer",
      short: "v",
      placeholder: "LEVEL",
      default: 0,
      min: 0,
      max: 1,
      help: "1: one column per type",
    },
    file: {
      kind: "text",
      short: "f",
      placeholder: "FILE",
      help: "read an answer of /debug/syncz, - for standard input",
    },
  },
  examples: [
    { command: "ambit proxy-status", meaning: "Are all nodes connected?" },
    { command: "ambit ps -v 1", meaning: "Has the last change arrived everywhere?" },
    { command: "ambit ps ztunnel-4xk2p -o yaml", meaning: "All that is known of one proxy" },
  ],
  run: async ({ flags, args }, context) => {
    const all =
      flags.file === undefined ? await controllerStatuses(context) : await fromFile(flags.file, context);
    const wanted = args[0] ?? "";
    const shown = all.map(({ pod, clients }) => ({
      pod,
      clients: clients.filter((c) => c.proxy.includes(wanted)),
    }));
    const clients = shown.flatMap((c) => c.clients);
    if (clients.length === 0) {
      context.note(
        wanted === ""
          ? "No proxy is connected. See `kubectl get pods -n istio-system -o wide`, and the log of a ztunnel for the reason."
          : `No connected proxy has "${wanted}" in its name. See them all with \`ambit proxy-status\`.`,
      );
      return ExitCode.failed;
    }
    context.out(render(shown, flags.output as OutputFormat, flags.verbosity, context.clock.nowMs()));
    const refused = clients.flatMap((c) => unhealthyTypes(c).map((type) => ({ proxy: c.proxy, ...type })));
    for (const { proxy, typeUrl, error } of refused)
      context.note(
        `${proxy} refused its ${shortName(typeUrl)} configuration: ${error || "its log says why"}`,
      );
    return refused.length === 0 ? ExitCode.ok : ExitCode.failed;
  },
});

function render(
  shown: readonly ControllerStatus[],
  format: OutputFormat,
  verbosity: number,
  nowMs: number,
): string {
  if (format !== "short")
    return renderStructured({ resources: shown.flatMap((c) => c.clients).map((c) => c.raw) }, format);
  return verbosity === 0 ? statusTable(shown) : verboseStatusTable(shown, nowMs);
}

async function fromFile(path: string, context: CommandContext): Promise<readonly ControllerStatus[]> {
  const status = parseSyncStatus(await context.readText(path));
  if (!status.ok) throw new AmbitError("CLI_BAD_DUMP", `${path} ${describeProblems(status.problems)}`);
  return [{ pod: "NA", clients: status.value }];
}
