/** Pure. `docs/metrics.md`: every metric that the sources register, with its labels. */
import { cell, generatedFrom, type SourceFile } from "./sources.ts";

const METRIC =
  /"((?:istio|ambit|pilot|workload_manager|process|ztunnel)_[a-z_]+)",\s*(?:count: "\w+",\s*)?(?:help:\s*)?"([^"]+)"(?:,\s*labelNames: \[([^\]]*)\]|,\s*"([a-z]+)")?/g;

const PARTS: readonly {
  readonly title: string;
  readonly where: string;
  readonly folder: string;
  readonly shared?: true;
}[] = [
  {
    title: "ztunnel",
    where: "`GET :15020/metrics` and `/stats/prometheus` of each ztunnel pod",
    folder: "ztunnel/",
    shared: true,
  },
  {
    title: "Waypoint",
    where: "`GET :15020/metrics` and `/stats/prometheus` of each waypoint pod",
    folder: "waypoint/",
    shared: true,
  },
  {
    title: "Node agent",
    where: "`GET :15014/metrics` of each node (the agent has the node's network)",
    folder: "istio-cni/",
  },
  { title: "Controller", where: "`GET :15014/metrics` of each controller pod", folder: "controller/" },
];

/** What proxies share. */
const SHARED = "core/runtime/process-metrics.ts";

const INTRODUCTION = `# Metrics

${generatedFrom("the sources")}

Prometheus text format. Names are Istio's where Istio has one. Hot counters are plain numbers that are read at each scrape.
`;

const TCP_LABELS = `
\`istio_tcp_*_total\` carry Istio's labels for source and destination (workload, namespace, principal, app, version, cluster, canonical
service and revision), \`reporter\`, \`request_protocol\`, \`response_flags\` and \`connection_security_policy\`
(\`ztunnel/proxy/metrics.ts\`). "Sent" is from downstream to upstream at both reporters. A connection within a node counts for both.
At most 20,000 series are kept; the oldest is forgotten first. \`response_flags\` follow from the reason of the end
(\`ztunnel/proxy/response-flag.ts\`).

\`ambit_plaintext_connections_last_hour\` has the labels \`source_address\`, \`source_workload\`, \`source_workload_namespace\`,
\`destination_workload\`, \`destination_workload_namespace\` and \`destination_port\`. It counts the last 60 to 65 minutes of at most 1,000
callers; what is more counts for \`others\`, once for each destination workload (\`ztunnel/proxy/recent-outsiders.ts\`).
`;

const NODE_METRICS = `
Also prom-client's defaults for the process and for Node (\`process_*\`, \`nodejs_*\`).
`;

export function metricsPage(sources: readonly SourceFile[]): string {
  return [INTRODUCTION, ...PARTS.map((part) => section(part, sources))].join("\n");
}

function section(part: (typeof PARTS)[number], sources: readonly SourceFile[]): string {
  const rows = sources
    .filter(({ path }) => path.startsWith(part.folder) || (part.shared === true && path === SHARED))
    .flatMap(({ text }) => [...text.matchAll(METRIC)])
    .map(([, name = "", help = "", list, one]) => {
      const labels = list === undefined ? (one ?? "") : list.replaceAll('"', "");
      return `| \`${name}\` | ${cell(labels.replaceAll(/\s+/g, " "))} | ${cell(help)} |`;
    });
  const after = { "ztunnel/": TCP_LABELS, "controller/": NODE_METRICS }[part.folder] ?? "";
  return `## ${part.title}\n\n${part.where}\n\n| Metric | Labels | Meaning |\n|---|---|---|\n${rows.join("\n")}\n${after}`;
}
