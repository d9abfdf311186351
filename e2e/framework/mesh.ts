/**
 * A mesh of its own for one suite: a local cluster of two nodes with the mesh installed from its manifests, gone again at
 * the end. The reaper removes it also when the suite is killed.
 */
import { jsonList, jsonObject, jsonText } from "#core/k8s/json-read.ts";
import type { KubeClient } from "#core/k8s/kube-client.ts";
import { loadKubeClient } from "#core/k8s/load-config.ts";
import { createLog } from "#core/runtime/log.ts";
import { clusterUp } from "#local/cluster.ts";
import type { Cluster, ClusterNode } from "#local/cluster-types.ts";
import { installMesh } from "#local/install-mesh.ts";
import type { Manifest } from "#local/manifests.ts";
import { Kubectl } from "./kubectl.ts";
import { say } from "./say.ts";
import { Wire } from "./wire.ts";

export interface MeshOptions {
  /** Environment added to the containers of a workload: `{ "istio-cni-node": { AMBIT_CAPTURE: "clsact" } }`. */
  readonly env?: Readonly<Record<string, Readonly<Record<string, string>>>>;
  /** How long a kubelet waits before the second start of a container that crashes, and twice that before the next. */
  readonly crashBackoffMs?: number;
}

export interface Mesh {
  readonly cluster: Cluster;
  /** As a member of `system:masters`. */
  readonly client: KubeClient;
  readonly kubectl: Kubectl;
  /** Watches the link at the second node's port: everything between the nodes. */
  readonly wire: Wire;
  node(name: string): ClusterNode;
  down(): Promise<void>;
}

let meshes = 0;

/** Fails when this machine cannot run a cluster: a suite that did not run proves nothing. */
export async function meshUp(options: MeshOptions = {}): Promise<Mesh> {
  const began = performance.now();
  const id = `e2e${process.pid}${"abcdefgh"[meshes++ % 8]}`;
  const log = createLog("e2e", { level: "error" }).root;
  const { crashBackoffMs = 1_000 } = options;
  const cluster = await clusterUp({ id, nodes: 2, log, sandboxRetryMs: 1_000, crashBackoffMs });
  try {
    const client = loadKubeClient(cluster.kubeconfigPath);
    await installMesh(
      client,
      () => undefined,
      (manifest) => withEnv(manifest, options.env ?? {}),
    );
    const wire = new Wire(cluster.underlayNetns, "n2");
    say(`cluster ${id} with the mesh: ${seconds(began)} s`);
    return {
      cluster,
      client,
      kubectl: new Kubectl(client, cluster.kubeconfigPath, () => undefined),
      wire,
      node: (name) => nodeNamed(cluster, name),
      down: async () => {
        wire.close();
        client.close();
        await cluster.down();
      },
    };
  } catch (error) {
    await cluster.down();
    throw error;
  }
}

export function seconds(sinceMs: number): string {
  return ((performance.now() - sinceMs) / 1_000).toFixed(1);
}

function nodeNamed(cluster: Cluster, name: string): ClusterNode {
  const node = cluster.nodes.find((n) => n.name === name);
  if (node === undefined) throw new Error(`the cluster has no node ${name}`);
  return node;
}

function withEnv(manifest: Manifest, env: NonNullable<MeshOptions["env"]>): Manifest {
  const added = env[jsonText(jsonObject(manifest["metadata"])["name"])];
  if (added === undefined || !["DaemonSet", "Deployment"].includes(jsonText(manifest["kind"])))
    return manifest;
  const copy = structuredClone(manifest) as Manifest;
  const template = jsonObject(jsonObject(copy["spec"])["template"]);
  const variables = Object.entries(added).map(([name, value]) => ({ name, value }));
  for (const container of jsonList(jsonObject(template["spec"])["containers"]).map(jsonObject))
    (container as Record<string, unknown>)["env"] = [...jsonList(container["env"]), ...variables];
  return copy;
}
