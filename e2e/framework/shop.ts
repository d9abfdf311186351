/** The sample shop on a mesh, with hands in its pods. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { eventually } from "./eventually.ts";
import { PodHands } from "./hands.ts";
import { LoadWatch } from "./load.ts";
import type { Mesh } from "./mesh.ts";
import { applyYaml, listPods, onlyPod, podReady, type PodFacts } from "./pods.ts";
import { podsInMesh } from "./ztunnel-state.ts";

export interface HandledPod extends PodFacts {
  readonly hands: PodHands;
}

export interface Shop {
  /** On n1, with the load. */
  readonly frontend: HandledPod;
  /** On n2, the HTTP server on 8080. */
  readonly catalog: HandledPod;
  /** On n1, in the namespace `street`. */
  readonly intruder: HandledPod;
  readonly load: LoadWatch;
}

export async function withHands(mesh: Mesh, pod: PodFacts): Promise<HandledPod> {
  return { ...pod, hands: await PodHands.open(mesh.cluster.kubeconfigPath, pod) };
}

export async function openShop(mesh: Mesh): Promise<Shop> {
  await applyYaml(
    mesh.client,
    readFileSync(join(import.meta.dirname, "../../local/samples/shop.yaml"), "utf8"),
  );
  const [frontend, catalog, intruder] = await Promise.all([
    onlyPod(mesh.client, "shop", "app=frontend").then((pod) => withHands(mesh, pod)),
    onlyPod(mesh.client, "shop", "app=catalog").then((pod) => withHands(mesh, pod)),
    podReady(mesh.client, "street", "intruder").then((pod) => withHands(mesh, pod)),
  ]);
  const load = new LoadWatch(frontend.hands);
  await eventually("the load succeeds", async () => {
    const before = await load.stats();
    await new Promise((resolve) => setTimeout(resolve, 250));
    const after = await load.stats();
    const ok = after.fresh.ok > before.fresh.ok && after.kept.ok > before.kept.ok;
    return ok && after.fresh.failed === before.fresh.failed && after.kept.failed === before.kept.failed
      ? true
      : undefined;
  });
  return { frontend, catalog, intruder, load };
}

const LABEL = "istio.io/dataplane-mode";

/** Labels a namespace and waits until its pods are captured and every ztunnel knows it. */
export async function enrol(mesh: Mesh, namespace: string): Promise<void> {
  await mesh.kubectl.labelNamespace(namespace, LABEL, "ambient");
  await allCaptured(mesh, namespace, true);
}

/** Removes the label and waits until nothing sends new connections into tunnels. */
export async function unEnrol(mesh: Mesh, namespace: string): Promise<void> {
  await mesh.kubectl.labelNamespace(namespace, LABEL, undefined);
  await allCaptured(mesh, namespace, false);
}

async function allCaptured(mesh: Mesh, namespace: string, captured: boolean): Promise<void> {
  const pods = await eventually(`pods of ${namespace} ${captured ? "" : "not "}captured`, async () => {
    const all = (await listPods(mesh.client, namespace)).filter(
      (pod) => !pod.ending && pod.phase === "Running",
    );
    return all.every((pod) => pod.captured === captured) ? all : undefined;
  });
  await podsInMesh(mesh, pods, captured);
}
