/** What suites take away for a moment: the controller, and the fence around waypoints' Gateways. */
import { jsonObject } from "#core/k8s/json-read.ts";
import { DEPLOYMENT, kindPath } from "#core/k8s/kinds.ts";
import type { KubeClient } from "#core/k8s/kube-client.ts";
import { eventually } from "./eventually.ts";
import type { Mesh } from "./mesh.ts";
import { listPods, onlyPod } from "./pods.ts";
import { SYSTEM } from "./ztunnel-state.ts";

const CONTROLLER = "app=ambit-controller";
const FENCES = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicybindings";

export async function whileNoController(mesh: Mesh, work: () => Promise<unknown>): Promise<void> {
  const scale = (replicas: number): Promise<unknown> =>
    mesh.client.json({
      method: "PATCH",
      path: kindPath(DEPLOYMENT, { namespace: SYSTEM, name: "ambit-controller" }),
      contentType: "application/merge-patch+json",
      body: { spec: { replicas } },
    });
  await scale(0);
  await eventually("no controller", async () =>
    (await listPods(mesh.client, SYSTEM, CONTROLLER)).length === 0 ? true : undefined,
  );
  try {
    await work();
  } finally {
    await scale(1);
  }
  await onlyPod(mesh.client, SYSTEM, CONTROLLER);
}

/** As somebody whom admission does not stop. */
export async function aroundAdmission(client: KubeClient, work: () => Promise<unknown>): Promise<void> {
  const path = `${FENCES}/ambit-waypoint-gateways`;
  const { metadata, ...fence } = jsonObject(await client.json({ method: "GET", path }));
  await client.json({ method: "DELETE", path });
  try {
    await eventually("the fence is away", async () => {
      await work();
      return true;
    });
  } finally {
    const { name } = jsonObject(metadata);
    await client.json({ method: "POST", path: FENCES, body: { ...fence, metadata: { name } } });
  }
}
