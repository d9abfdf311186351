/**
 * The second topology: two pods on two nodes of a local cluster with the mesh installed from its manifests. First
 * un-enrolled (direct), then captured. The load programs run inside the pods' network namespaces.
 */
import { execFile } from "node:child_process";
import { join } from "node:path";
import { promisify } from "node:util";
import { loadKubeClient } from "#core/k8s/load-config.ts";
import type { KubeClient } from "#core/k8s/kube-client.ts";
import { type Netns, openNetns } from "#core/linux/netns.ts";
import { createLog } from "#core/runtime/log.ts";
import { eventually } from "#e2e/framework/eventually.ts";
import { podNetnsPath, podPids } from "#e2e/framework/node-inside.ts";
import { applyYaml, listPods, type PodFacts, runPods } from "#e2e/framework/pods.ts";
import { clusterUp } from "#local/cluster.ts";
import type { Cluster, ClusterNode } from "#local/cluster-types.ts";
import { installMesh } from "#local/install-mesh.ts";
import { ECHO_PORT, type Side, SINK_PORT, tuneNamespaces } from "../network/bench-network.ts";
import { sumOfCounter } from "./metrics-text.ts";
import type { RunningPeer, UnstartedPeer } from "./peer.ts";
import { podsYaml } from "./pods-yaml.ts";

const FETCH = join(import.meta.dirname, "../load/fetch-main.ts");
const METRICS_URL = "http://127.0.0.1:15020/stats/prometheus";
const NODES = { a: "n1", b: "n2" } as const;

export interface PodsGround {
  readonly path: Readonly<Record<Side, string>>;
  readonly congestionControl: string;
  /** The two pods before they join the mesh. */
  readonly direct: UnstartedPeer;
  /** Labels the namespace; resolves when both pods are captured. */
  enrol(version: string): Promise<UnstartedPeer>;
  down(): Promise<void>;
}

export async function podsUp(wanted: string | undefined, say: (text: string) => void): Promise<PodsGround> {
  const log = createLog("bench", { level: "error" }).root;
  const cluster = await clusterUp({ id: `bench${process.pid % 100_000}`, nodes: 2, log, progress: say });
  try {
    const client = loadKubeClient(cluster.kubeconfigPath);
    await installMesh(client, say);
    return await prepare({ cluster, client, wanted });
  } catch (error) {
    await cluster.down();
    throw error;
  }
}

interface Ground {
  readonly cluster: Cluster;
  readonly client: KubeClient;
  readonly wanted: string | undefined;
}

async function prepare({ cluster, client, wanted }: Ground): Promise<PodsGround> {
  await applyYaml(client, podsYaml());
  const image = { image: "ambit/host", container: { command: ["/bin/sleep", "86400"] } };
  const [clientPod, serverPod] = await runPods(client, [
    { namespace: "bench", name: "client", node: NODES.a, serviceAccount: "client", ...image },
    { namespace: "bench", name: "server", node: NODES.b, serviceAccount: "server", ...image },
  ]);
  if (clientPod === undefined || serverPod === undefined) throw new Error("the pods did not start");
  const nodes = { a: nodeNamed(cluster, NODES.a), b: nodeNamed(cluster, NODES.b) };
  const path = { a: podNetnsPath(nodes.a, clientPod.uid), b: podNetnsPath(nodes.b, serverPod.uid) };
  const congestionControl = withNamespaces(path, (namespaces) => tuneNamespaces(namespaces, wanted));
  return {
    path,
    congestionControl,
    direct: podPeer("pods-direct", "un-enrolled pods, plain TCP", "-", () =>
      runningPods(serverPod, undefined),
    ),
    enrol: async (version) => {
      await enrol(client);
      const ztunnels = { a: await ztunnelOf(client, nodes.a), b: await ztunnelOf(client, nodes.b) };
      const setting = "captured pods, installed from the manifests, 20 policies, access log and metrics on";
      return podPeer("pods-ambit", setting, version, () => runningPods(serverPod, ztunnels));
    },
    down: async () => {
      client.close();
      await cluster.down();
    },
  };
}

function withNamespaces<T>(path: Readonly<Record<Side, string>>, work: (all: readonly Netns[]) => T): T {
  const namespaces = [openNetns(path.a), openNetns(path.b)];
  try {
    return work(namespaces);
  } finally {
    for (const netns of namespaces) netns.close();
  }
}

function podPeer(name: string, setting: string, version: string, start: () => RunningPeer): UnstartedPeer {
  return {
    name,
    facts: {
      version,
      tlsLibrary: version === "-" ? "-" : `OpenSSL ${process.versions["openssl"] ?? "unknown"}`,
      origin: version === "-" ? "-" : "this tree, bundled",
      cipherGibPerSecond: undefined,
      cipherMethod: "-",
      setting,
    },
    start: () => Promise.resolve(start()),
  };
}

async function enrol(client: KubeClient): Promise<void> {
  await client.json({
    method: "PATCH",
    path: "/api/v1/namespaces/bench",
    contentType: "application/merge-patch+json",
    body: { metadata: { labels: { "istio.io/dataplane-mode": "ambient" } } },
  });
  await eventually("both pods captured", async () => {
    const pods = await listPods(client, "bench");
    return pods.length === 2 && pods.every((pod) => pod.captured) ? true : undefined;
  });
}

async function ztunnelOf(client: KubeClient, node: ClusterNode): Promise<readonly number[]> {
  const pods = await listPods(client, "istio-system", "app=ztunnel");
  const pod = pods.find((candidate) => candidate.node === node.name && !candidate.ending);
  const pids = pod === undefined ? [] : podPids(node, pod.uid);
  if (pids.length === 0) throw new Error(`no ztunnel runs on ${node.name}`);
  return pids;
}

type Ztunnels = Readonly<Record<Side, readonly number[]>>;

function runningPods(serverPod: PodFacts, ztunnels: Ztunnels | undefined): RunningPeer {
  const ip = serverPod.ipv4;
  return {
    a: ztunnels?.a ?? [],
    b: ztunnels?.b ?? [],
    echo: { ip, port: ECHO_PORT },
    sink: { ip, port: SINK_PORT },
    tls: undefined,
    ...(ztunnels === undefined ? {} : { connectionCounts: () => countsOf(ztunnels) }),
    stop: () => Promise.resolve(),
  };
}

async function countsOf(ztunnels: Ztunnels): Promise<{ readonly a: number; readonly b: number }> {
  const [a, b] = await Promise.all([opened(ztunnels.a, "source"), opened(ztunnels.b, "destination")]);
  return { a, b };
}

async function opened(pids: readonly number[], reporter: "source" | "destination"): Promise<number> {
  const netns = `--net=/proc/${pids[0]}/ns/net`;
  const options = { timeout: 10_000, maxBuffer: 64 * 2 ** 20 };
  const { stdout } = await promisify(execFile)(
    "nsenter",
    [netns, process.execPath, FETCH, METRICS_URL],
    options,
  );
  return sumOfCounter(stdout, "istio_tcp_connections_opened_total", { reporter });
}

function nodeNamed(cluster: Cluster, name: string): ClusterNode {
  const node = cluster.nodes.find((candidate) => candidate.name === name);
  if (node === undefined) throw new Error(`the cluster has no node ${name}`);
  return node;
}
