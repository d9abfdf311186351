/** Pure. `docs/config.md`: every environment variable, as the programs themselves read them. */
import { EnvReader } from "#core/runtime/env.ts";
import { parseConfig as parseControllerConfig } from "#controller/config.ts";
import { parseAgentConfig } from "#istio-cni/agent/config.ts";
import { readKubeletConfig } from "#local/kubelet/config.ts";
import { parseSettings as parseWaypointSettings } from "#waypoint/config.ts";
import { parseConfig as parseZtunnelConfig } from "#ztunnel/config.ts";
import { cell, generatedFrom } from "./sources.ts";

const PROGRAMS: readonly {
  readonly title: string;
  readonly file: string;
  readonly read: (env: EnvReader) => unknown;
}[] = [
  { title: "ztunnel", file: "ztunnel/config.ts", read: parseZtunnelConfig },
  { title: "Waypoint", file: "waypoint/config.ts", read: parseWaypointSettings },
  { title: "Node agent (istio-cni)", file: "istio-cni/agent/config.ts", read: parseAgentConfig },
  { title: "Controller", file: "controller/config.ts", read: parseControllerConfig },
  { title: "Kubelet of the local cluster", file: "local/kubelet/config.ts", read: readKubeletConfig },
];

const INTRODUCTION = `# Configuration

${generatedFrom("the programs' own readers of their environment")}

Each program reads environment variables once, at its start. A wrong value ends it with every problem in one message.
Durations are written \`250ms\`, \`10s\`, \`5m\` or \`24h\` (in the tables: milliseconds), lists with commas. An empty value counts
as absent. Names are Istio's where Istio has one; the mesh's own settings are in the ConfigMap \`istio\` (\`deploy/10-namespace.yaml\`).
`;

export function configPage(): string {
  return [INTRODUCTION, ...PROGRAMS.map(section)].join("\n");
}

function section({ title, file, read }: (typeof PROGRAMS)[number]): string {
  const env = new EnvReader({});
  read(env);
  // A variable that is read twice has its meaning from the first reading, its default from the last.
  const rows = new Map<string, string>();
  const meanings = new Map<string, string>();
  for (const { name, help, default: fallback } of env.uses()) {
    const meaning = meanings.get(name) ?? help;
    meanings.set(name, meaning);
    rows.set(name, row(name, fallback, meaning));
  }
  return `## ${title}\n\nRead by \`${file}\`.\n\n| Variable | Default | Meaning |\n|---|---|---|\n${[...rows.values()].join("\n")}\n`;
}

function row(name: string, fallback: string | undefined, help: string): string {
  const shown = fallback === undefined ? "required" : fallback === "" ? "empty" : `\`${fallback}\``;
  return `| \`${name}\` | ${cell(shown)} | ${cell(help)} |`;
}
