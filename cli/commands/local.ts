/** `ambit local`: a small Kubernetes cluster on this machine, for trying the mesh and for tests. */
import { defineCommand, defineGroup } from "../command.ts";
import type { CommandContext } from "../context.ts";
import { ExitCode } from "../exit-codes.ts";
import type * as ClusterModuleType from "#local/cluster.ts";
import type { ClusterStatus } from "#local/cluster-types.ts";
import { ID_FLAG } from "./local-id.ts";
import { statusCommand } from "./local-status.ts";

type ClusterModule = typeof ClusterModuleType;

/** Loaded when used: other commands need neither system calls nor the bundler. */
const cluster = (): Promise<ClusterModule> => import("#local/cluster.ts");

const upCommand = defineCommand({
  name: "up",
  summary: "Start a local cluster (root; nothing outside its own namespaces is changed)",
  description:
    "Nodes are network namespaces, pods are processes, images are programs of this project: nothing is downloaded.\n" +
    "The cluster runs in the background until `ambit local down`. Starting one that runs does nothing.\n" +
    "It comes without the mesh: what it prints installs it from the clone, as on any cluster. The definitions come first.",
  flags: {
    id: ID_FLAG,
    nodes: { kind: "integer", placeholder: "N", default: 2, min: 1, max: 20, help: "number of nodes" },
    port: {
      kind: "integer",
      placeholder: "PORT",
      default: 0,
      min: 0,
      max: 65_535,
      help: "API port on 127.0.0.1; 0: a free one",
    },
    foreground: { kind: "switch", help: "stay, and remove the cluster at Ctrl-C" },
  },
  examples: [
    { command: "ambit local up", meaning: "Two nodes, in the background" },
    { command: "ambit local up --id second --nodes 3", meaning: "Another one beside it" },
    { command: "ambit local up --foreground", meaning: "Gone again at Ctrl-C" },
  ],
  run: async ({ flags }, context) => {
    const { clusterStatus } = await cluster();
    const before = clusterStatus(flags.id);
    if (before.state === "running") {
      context.note(`local cluster "${flags.id}" is already running`);
      context.out(hints(before));
      return ExitCode.ok;
    }
    if (flags.foreground) return runHere(flags, context);
    const { startInBackground } = await import("#local/background-owner.ts");
    const status = await startInBackground(
      {
        id: flags.id,
        arguments: [
          "local",
          "up",
          "--foreground",
          "--id",
          flags.id,
          "--nodes",
          String(flags.nodes),
          "--port",
          String(flags.port),
        ],
      },
      (text) => context.note(text),
      context.signal,
    );
    context.out(hints(status));
    return ExitCode.ok;
  },
});

interface UpFlags {
  readonly id: string;
  readonly nodes: number;
  readonly port: number;
}

/** Owns the cluster until it is told to stop. */
async function runHere(flags: UpFlags, context: CommandContext): Promise<ExitCode> {
  const { clusterUp, clusterStatus } = await cluster();
  const { createLog } = await import("#core/runtime/log.ts");
  const log = createLog("local", { level: "warn" }).root;
  const running = await clusterUp({
    id: flags.id,
    nodes: flags.nodes,
    apiPort: flags.port,
    log,
    progress: (line) => context.note(`${line} ...`),
  });
  context.note(`local cluster "${flags.id}" is up`);
  context.out(hints(clusterStatus(flags.id)));
  await new Promise<void>((resolve) => {
    if (context.signal.aborted) resolve();
    context.signal.addEventListener("abort", () => resolve(), { once: true });
  });
  await running.down();
  return ExitCode.ok;
}

const downCommand = defineCommand({
  name: "down",
  summary: "Remove a local cluster and everything that belongs to it",
  flags: { id: ID_FLAG },
  examples: [{ command: "ambit local down", meaning: "Works after a crash, too" }],
  run: async ({ flags }, context) => {
    const { clusterDown } = await cluster();
    const removed = await clusterDown(flags.id);
    context.note(removed ? `local cluster "${flags.id}" is gone` : `there is no local cluster "${flags.id}"`);
    return ExitCode.ok;
  },
});

function hints(status: ClusterStatus): string {
  return `export KUBECONFIG=${status.kubeconfigPath ?? ""}
kubectl get nodes
# in the clone: installs the mesh
kubectl apply --server-side -f crds/ && kubectl wait --for=condition=Established -f crds/
kubectl apply --server-side -f deploy/
`;
}

export const localGroup = defineGroup({
  name: "local",
  summary: "A small Kubernetes cluster on this machine",
  examples: [
    { command: "ambit local up", meaning: "Start one" },
    { command: "ambit local status", meaning: "Is one running?" },
    { command: "ambit local down", meaning: "Remove it" },
  ],
  commands: [upCommand, downCommand, statusCommand],
});
