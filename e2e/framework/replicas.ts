/** Several controllers: how many there are, who leads, and what each says that its clients are. */
import { jsonList, jsonObject, jsonText } from "#core/k8s/json-read.ts";
import { DEPLOYMENT, kindPath, LEASE, POD } from "#core/k8s/kinds.ts";
import { eventually } from "./eventually.ts";
import type { Mesh } from "./mesh.ts";
import { killContainer } from "./node-inside.ts";
import { listPods, type PodFacts } from "./pods.ts";
import { SYSTEM } from "./ztunnel-state.ts";

const CONTROLLERS = "app=ambit-controller";

/** Returns when so many are ready. */
export async function scaleControllers(mesh: Mesh, replicas: number): Promise<void> {
  await mesh.client.json({
    method: "PATCH",
    path: kindPath(DEPLOYMENT, { namespace: SYSTEM, name: "ambit-controller" }),
    contentType: "application/merge-patch+json",
    body: { spec: { replicas } },
  });
  await untilControllers(mesh, replicas);
}

export async function untilControllers(mesh: Mesh, replicas: number): Promise<readonly PodFacts[]> {
  return eventually(`${replicas} controllers`, async () => {
    const pods = await listPods(mesh.client, SYSTEM, CONTROLLERS);
    return pods.length === replicas && pods.every((pod) => pod.ready && !pod.ending) ? pods : undefined;
  });
}

/** SIGKILL, and its pod deleted without any grace. */
export async function loseLeader(mesh: Mesh): Promise<string> {
  const path = kindPath(LEASE, { namespace: SYSTEM, name: "ambit-controller-leader" });
  const leader = await eventually("a leader", async () => {
    const lease = jsonObject(await mesh.client.json({ method: "GET", path }));
    const name = jsonText(jsonObject(lease["spec"])["holderIdentity"]);
    return (await listPods(mesh.client, SYSTEM, CONTROLLERS)).find((pod) => pod.name === name);
  });
  killContainer(mesh.node(leader.node), leader.uid, leader.container);
  await mesh.client.json({
    method: "DELETE",
    path: kindPath(POD, { namespace: SYSTEM, name: leader.name }),
    body: { gracePeriodSeconds: 0 },
  });
  return leader.name;
}

/** Of Leases of replicas: how many clients each tells of. */
export async function clientsByReplica(mesh: Mesh): Promise<ReadonlyMap<string, number>> {
  const path = kindPath(LEASE, { namespace: SYSTEM });
  const query = { labelSelector: "ambit.io/replica-of=ambit-controller" };
  const { items } = jsonObject(await mesh.client.json({ method: "GET", path, query }));
  return new Map(
    jsonList(items).map((item) => {
      const { name, annotations } = jsonObject(jsonObject(item)["metadata"]);
      const report = jsonObject(JSON.parse(jsonText(jsonObject(annotations)["ambit.io/replica"]) || "{}"));
      return [jsonText(name), jsonList(report["proxies"]).length];
    }),
  );
}
