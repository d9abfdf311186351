/** `npm run demo`: brings up a local cluster, shows the mesh's main job step by step with evidence, and leaves nothing. */
import { performance } from "node:perf_hooks";
import { loadKubeClient } from "#core/k8s/load-config.ts";
import { createLog } from "#core/runtime/log.ts";
import { describeError } from "#core/runtime/errors.ts";
import { type Cluster, clusterUp } from "#local/cluster.ts";
import { installMesh } from "#local/install-mesh.ts";
import { Kubectl } from "../framework/kubectl.ts";
import { Wire } from "../framework/wire.ts";
import { authorizeCatalog } from "./steps/authorize.ts";
import { crashWithoutLeak } from "./steps/crash.ts";
import { enrolNamespace } from "./steps/enrol.ts";
import { inspect } from "./steps/inspect.ts";
import { newPodFromFirstPacket } from "./steps/new-pod.ts";
import { strictAndPermissive } from "./steps/strict.ts";
import { unEnrolledShop } from "./steps/un-enrolled.ts";
import { unEnrolNamespace } from "./steps/un-enrol.ts";
import { nobodyGetsAround } from "./steps/waypoint-bypass.ts";
import { waypointOnDemand } from "./steps/waypoint-created.ts";
import { explicitGateway } from "./steps/waypoint-explicit.ts";
import { waypointKilled } from "./steps/waypoint-killed.ts";
import { noWaypointWithoutNeed } from "./steps/waypoint-none.ts";
import { waypointRemoved } from "./steps/waypoint-removed.ts";
import { Tour } from "./tour.ts";

const STEPS: readonly { readonly title: string; readonly run: (tour: Tour) => Promise<void> }[] = [
  { title: "Without the mesh: HTTP between the nodes is readable", run: unEnrolledShop },
  { title: "One label: mutual TLS between the nodes, no restart, no failure", run: enrolNamespace },
  { title: "AuthorizationPolicy: only the frontend may reach the catalog", run: authorizeCatalog },
  { title: "PeerAuthentication: STRICT refuses plaintext, probes keep passing", run: strictAndPermissive },
  { title: "What the mesh knows, from the command line", run: inspect },
  { title: "A new pod is captured before its first connection", run: newPodFromFirstPacket },
  { title: "ztunnel killed: connections wait, nothing leaks, service resumes", run: crashWithoutLeak },
  { title: "No HTTP policy, no waypoint", run: noWaypointWithoutNeed },
  {
    title: "One HTTP policy: a waypoint appears, methods and paths are enforced, no failure",
    run: waypointOnDemand,
  },
  { title: "Nobody gets around the waypoint", run: nobodyGetsAround },
  { title: "The waypoint killed: requests wait, none passes unevaluated", run: waypointKilled },
  { title: "The policy deleted: the waypoint drains and goes", run: waypointRemoved },
  { title: "An explicit Gateway works as in Istio, and takes precedence", run: explicitGateway },
  { title: "Un-enrolled under load: nothing fails, nothing stays behind", run: unEnrolNamespace },
];

const started = performance.now();
const say = (line: string): void => void process.stdout.write(`${line}\n`);
const seconds = (): string => `${((performance.now() - started) / 1000).toFixed(1)} s`;

process.exitCode = await main();

async function main(): Promise<number> {
  const log = createLog("demo", { level: "warn" }).root;
  let cluster: Cluster;
  try {
    cluster = await clusterUp({ id: "demo", nodes: 2, log, progress: (line) => say(`  ... ${line}`) });
  } catch (error) {
    say(`\nFAILED in bringing up the local cluster\n  ${describeError(error)}`);
    return 1;
  }
  return runTour(cluster);
}

async function runTour(cluster: Cluster): Promise<number> {
  let stopping = false;
  // Not `once`: a terminal and npm both send Ctrl-C on, and the second must not cut the tear-down short.
  const stop = (): void => {
    if (stopping) return;
    stopping = true;
    say("\nstopping: removing the cluster");
    void cluster.down().then(() => process.exit(130));
  };
  process.on("SIGINT", stop);
  process.on("SIGTERM", stop);
  let current = "installing the mesh";
  try {
    const client = loadKubeClient(cluster.kubeconfigPath);
    await installMesh(client, (line) => say(`  ... ${line}`));
    say(`  ... two nodes and the mesh are Ready after ${seconds()}`);
    const wire = new Wire(cluster.underlayNetns, "n1");
    const kubectl = new Kubectl(client, cluster.kubeconfigPath, (line) =>
      say(`    ${line.replaceAll("\n", "\n    ")}`),
    );
    if (!kubectl.isReal) say("  ... kubectl is not installed: the same changes are made through the API");
    const tour = new Tour({ cluster, client, kubectl, wire, say });
    for (const [i, step] of STEPS.entries()) {
      current = `step ${i + 1} of ${STEPS.length}: ${step.title}`;
      say(`\n${current}`);
      wire.forget();
      await step.run(tour);
    }
    wire.close();
    current = "tearing down";
    say("");
    await cluster.down();
    say(`done: all ${STEPS.length} steps hold, everything is removed again (${seconds()})`);
    return 0;
  } catch (error) {
    if (stopping) return 130;
    say(`\nFAILED in ${current}\n  ${describeError(error)}`);
    await cluster.down();
    return 1;
  }
}
