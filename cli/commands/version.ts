/** `ambit version` */
import { AMBIT_VERSION } from "#core/base/ambit-version.ts";
import { AmbitError } from "#core/runtime/errors.ts";
import { controllerStatuses } from "../cluster/controller-status.ts";
import { defineCommand } from "../command.ts";
import type { CommandContext } from "../context.ts";
import { ExitCode } from "../exit-codes.ts";
import { OUTPUT_FLAG, renderStructured, type OutputFormat } from "../render/structured.ts";

interface Versions {
  readonly client: string;
  readonly node: string;
  /** Version to the number of proxies that have it. */
  readonly dataPlane?: Readonly<Record<string, number>>;
  /** Why the cluster's versions are unknown. */
  readonly unknown?: string;
}

export const versionCommand = defineCommand({
  name: "version",
  summary: "Versions of this command and of the proxies in the cluster",
  flags: {
    output: OUTPUT_FLAG,
    client: { kind: "switch", help: "do not ask the cluster" },
  },
  examples: [
    { command: "ambit version", meaning: "Do command and mesh fit together?" },
    { command: "ambit version --client", meaning: "Without a cluster" },
  ],
  run: async ({ flags }, context) => {
    const own = { client: AMBIT_VERSION, node: process.versions.node };
    const versions: Versions = flags.client ? own : { ...own, ...(await dataPlane(context)) };
    const format = flags.output as OutputFormat;
    context.out(format === "short" ? shortText(versions) : renderStructured(versions, format));
    return ExitCode.ok;
  },
});

/** An unreachable cluster is worth a line, not a failure: the client's version was asked for too. */
async function dataPlane(context: CommandContext): Promise<Pick<Versions, "dataPlane" | "unknown">> {
  try {
    const counts = new Map<string, number>();
    for (const { clients } of await controllerStatuses(context))
      for (const { version } of clients)
        counts.set(version || "unknown", (counts.get(version || "unknown") ?? 0) + 1);
    return { dataPlane: Object.fromEntries(counts) };
  } catch (error) {
    if (!(error instanceof AmbitError)) throw error;
    return { unknown: error.message };
  }
}

function shortText(versions: Versions): string {
  const lines = [`client version: ${versions.client}`];
  if (versions.unknown !== undefined) lines.push(`data plane version: unknown (${versions.unknown})`);
  const proxies = Object.entries(versions.dataPlane ?? {}).map(
    ([version, count]) => `${version} (${count} ${count === 1 ? "proxy" : "proxies"})`,
  );
  if (versions.dataPlane !== undefined)
    lines.push(`data plane version: ${proxies.join(", ") || "no proxy connected"}`);
  return `${lines.join("\n")}\n`;
}
