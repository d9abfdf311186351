/** Installs the mesh on a cluster from the same manifests as anywhere else, and waits until every part is Ready. */
import { join } from "node:path";
import { jsonList, jsonNumber, jsonObject, jsonText } from "#core/k8s/json-read.ts";
import type { KubeClient } from "#core/k8s/kube-client.ts";
import { AmbitError } from "#core/runtime/errors.ts";
import { probeKernel } from "#istio-cni/capture/kernel-probe.ts";
import { applyManifest, type Manifest, readManifests } from "./manifests.ts";

const ROOT = join(import.meta.dirname, "..");
const READY_TIMEOUT_MS = 90_000;
const LOOK_EVERY_MS = 200;

/**
 * `adjust` may change each manifest before it is applied. Throws `CAPTURE_UNSUPPORTED` when the kernel cannot do it, and
 * `MESH_NOT_READY` with what each pod is waiting for.
 */
export async function installMesh(
  client: KubeClient,
  progress: (line: string) => void,
  adjust: (manifest: Manifest) => Manifest = (manifest) => manifest,
): Promise<void> {
  assertKernel();
  progress("applying the CRDs and manifests of the mesh");
  for (const folder of ["crds", "deploy"]) {
    for (const manifest of readManifests(join(ROOT, folder))) await applyManifest(client, adjust(manifest));
  }
  progress("waiting until controller, agents and ztunnels are Ready");
  await untilReady(client);
}

/** The agents would find out as well, but only in their logs. */
function assertKernel(): void {
  const kernel = probeKernel();
  if (kernel.kind === "usable") return;
  throw new AmbitError(
    "CAPTURE_UNSUPPORTED",
    `this kernel cannot capture (Linux 5.17 or later with BPF is needed, and root): ${kernel.message}`,
  );
}

async function untilReady(client: KubeClient): Promise<void> {
  const end = performance.now() + READY_TIMEOUT_MS;
  for (;;) {
    const missing = await notReady(client);
    if (missing.length === 0) return;
    if (performance.now() > end)
      throw new AmbitError(
        "MESH_NOT_READY",
        `not Ready after ${READY_TIMEOUT_MS / 1000} s: ${missing.join("; ")}`,
      );
    await new Promise((resolve) => setTimeout(resolve, LOOK_EVERY_MS));
  }
}

/** What is not Ready yet, as sentences; empty when everything is. */
async function notReady(client: KubeClient): Promise<readonly string[]> {
  const workloads = [
    {
      path: "/apis/apps/v1/namespaces/istio-system/deployments/ambit-controller",
      want: "replicas",
      have: "readyReplicas",
    },
    {
      path: "/apis/apps/v1/namespaces/istio-system/daemonsets/istio-cni-node",
      want: "desiredNumberScheduled",
      have: "numberReady",
    },
    {
      path: "/apis/apps/v1/namespaces/istio-system/daemonsets/ztunnel",
      want: "desiredNumberScheduled",
      have: "numberReady",
    },
  ];
  const missing: string[] = [];
  for (const { path, want, have } of workloads) {
    const object = jsonObject(await client.json({ method: "GET", path }));
    const status = jsonObject(object["status"]);
    const wanted = jsonNumber(status[want]) ?? 0;
    const ready = jsonNumber(status[have]) ?? 0;
    if (wanted === 0 || ready < wanted) missing.push(`${path.split("/").at(-1)} ${ready}/${wanted}`);
  }
  return missing.length === 0 ? [] : [...missing, ...(await waitingPods(client))];
}

async function waitingPods(client: KubeClient): Promise<readonly string[]> {
  const list = jsonObject(await client.json({ method: "GET", path: "/api/v1/namespaces/istio-system/pods" }));
  return jsonList(list["items"]).flatMap((item) => {
    const pod = jsonObject(item);
    const status = jsonObject(pod["status"]);
    const name = jsonText(jsonObject(pod["metadata"])["name"]);
    const containers = jsonList(status["containerStatuses"]).map(jsonObject);
    if (containers.length > 0 && containers.every((c) => c["ready"] === true)) return [];
    const reasons = containers.map((c) => waitingReason(c)).filter((text) => text !== "");
    return [
      `pod ${name} is ${jsonText(status["phase"])}${reasons.length > 0 ? ` (${reasons.join(", ")})` : ""}`,
    ];
  });
}

function waitingReason(container: Readonly<Record<string, unknown>>): string {
  const state = jsonObject(container["state"]);
  const waiting = jsonObject(state["waiting"]);
  const text = [jsonText(waiting["reason"]), jsonText(waiting["message"])].filter((t) => t !== "").join(": ");
  return text === "" && state["running"] !== undefined ? "running, not ready" : text;
}
