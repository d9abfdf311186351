/** `npm start`: a local cluster with the mesh and the sample shop that stays until Ctrl-C, and what to paste next. */
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { loadKubeClient } from "#core/k8s/load-config.ts";
import { describeError } from "#core/runtime/errors.ts";
import { createLog } from "#core/runtime/log.ts";
import { type Cluster, clusterUp } from "./cluster.ts";
import { installMesh } from "./install-mesh.ts";
import { applyManifest, parseManifests } from "./manifests.ts";

const SHOP = join(import.meta.dirname, "samples/shop.yaml");
const say = (line: string): void => void process.stdout.write(`${line}\n`);

process.exitCode = await main();

async function main(): Promise<number> {
  const log = createLog("local", { level: "warn" }).root;
  const progress = (line: string): void => say(`  ... ${line}`);
  let cluster: Cluster;
  try {
    cluster = await clusterUp({ id: "start", nodes: 2, log, progress });
  } catch (error) {
    say(`FAILED: ${describeError(error)}`);
    return 1;
  }
  return stay(cluster, progress);
}

/** Installs everything and keeps it until Ctrl-C. */
async function stay(cluster: Cluster, progress: (line: string) => void): Promise<number> {
  const { promise: interrupted, resolve } = Promise.withResolvers<void>();
  // Not `once`: a terminal and npm both send Ctrl-C on, and the second must not cut the tear-down short.
  process.on("SIGINT", resolve);
  process.on("SIGTERM", resolve);
  try {
    const client = loadKubeClient(cluster.kubeconfigPath);
    await installMesh(client, progress);
    progress("starting the sample shop");
    for (const manifest of parseManifests(readFileSync(SHOP, "utf8"), SHOP))
      await applyManifest(client, manifest);
    say(instructions(cluster.kubeconfigPath));
    await interrupted;
    say("\nremoving the cluster");
    return 0;
  } catch (error) {
    say(`FAILED: ${describeError(error)}`);
    return 1;
  } finally {
    await cluster.down();
  }
}

/** One block to paste as it is, results apart from it: a line of explanation would be run as a command. */
function instructions(kubeconfig: string): string {
  return `
The cluster runs: two nodes, the mesh, and a shop whose frontend asks the catalog 200 times a second.
Paste this in another terminal, as root${kubectlIsMissing() ? " (kubectl is not on this machine: https://kubernetes.io/docs/tasks/tools/)" : ""}:

  cd ${join(import.meta.dirname, "..")}
  export KUBECONFIG=${kubeconfig}
  kubectl label namespace shop istio.io/dataplane-mode=ambient
  ./ambit ztunnel-config workload --workload-namespace shop
  ./ambit ztunnel-config connections
  kubectl logs -n istio-system daemonset/ztunnel --tail=1

What it shows:
  label        nothing restarts; new connections are mutual TLS from now on
  workload     frontend and catalog have PROTOCOL HBONE
  connections  HBONE: encrypted (half of the shop's connections last milliseconds: ask again if you see none).
               pre-enrolment: older than the label, left alone until a policy covers the pod.
               TCP: in the clear, began while the other pod was still being taken in
  logs         one finished connection, with the identities of both ends

Ctrl-C removes everything.`;
}

function kubectlIsMissing(): boolean {
  return spawnSync("kubectl", ["version", "--client"], { stdio: "ignore" }).error !== undefined;
}
