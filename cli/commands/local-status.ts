/** `ambit local status` */
import type { ClusterStatus } from "#local/cluster-types.ts";
import { defineCommand } from "../command.ts";
import { ExitCode } from "../exit-codes.ts";
import { OUTPUT_FLAG, type OutputFormat, renderStructured } from "../render/structured.ts";
import { ID_FLAG } from "./local-id.ts";

export const statusCommand = defineCommand({
  name: "status",
  summary: "Whether a local cluster runs, and which others there are",
  flags: { id: ID_FLAG, output: OUTPUT_FLAG },
  examples: [
    { command: "ambit local status", meaning: "Is one running, and where is its kubeconfig?" },
    { command: "ambit local status --id second", meaning: "The same of another one" },
  ],
  run: async ({ flags }, context) => {
    const { checkClusterId, clusterIds } = await import("#local/state-file.ts");
    const { clusterStatus } = await import("#local/cluster.ts");
    checkClusterId(flags.id);
    const status = clusterStatus(flags.id);
    const format = flags.output as OutputFormat;
    context.out(format === "short" ? statusText(status) : renderStructured(status, format));
    const others = clusterIds().filter((id) => id !== flags.id);
    if (others.length > 0) context.note(othersText(others));
    return status.state === "absent" ? ExitCode.notFound : ExitCode.ok;
  },
});

export function statusText(status: ClusterStatus): string {
  if (status.state === "absent") return `there is no local cluster "${status.id}"\n`;
  const where = status.kubeconfigPath === undefined ? "" : `  KUBECONFIG=${status.kubeconfigPath}`;
  const stale = status.state === "stale" ? `  (its owner is gone: ambit local down --id ${status.id})` : "";
  return `${status.id}: ${status.state}, nodes ${status.nodes?.join(", ") ?? "none"}${where}${stale}\n`;
}

export function othersText(ids: readonly string[]): string {
  return `others here: ${ids.map((id) => `ambit local status --id ${id}`).join(", ")}`;
}
