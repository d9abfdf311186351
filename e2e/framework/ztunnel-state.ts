/** What the ztunnels know, read from their dumps; used to wait until a change has arrived everywhere. */
import { KubeConfig } from "@kubernetes/client-node";
import { kubePortForward } from "#cli/cluster/kube-port-forward.ts";
import { jsonList, jsonObject, jsonText, type JsonObject } from "#core/k8s/json-read.ts";
import { eventually } from "./eventually.ts";
import type { Mesh } from "./mesh.ts";
import { listPods, type PodFacts } from "./pods.ts";

export const SYSTEM = "istio-system";
const ADMIN_PORT = 15_000;

export function ztunnelPods(mesh: Mesh): Promise<readonly PodFacts[]> {
  return listPods(mesh.client, SYSTEM, "app=ztunnel");
}

export async function podOnNode(mesh: Mesh, labels: string, node: string): Promise<PodFacts> {
  const pod = (await listPods(mesh.client, SYSTEM, labels)).find((p) => p.node === node && !p.ending);
  if (pod === undefined) throw new Error(`no pod ${labels} on ${node}`);
  return pod;
}

export const ztunnelOn = (mesh: Mesh, node: string): Promise<PodFacts> =>
  podOnNode(mesh, "app=ztunnel", node);
export const agentOn = (mesh: Mesh, node: string): Promise<PodFacts> =>
  podOnNode(mesh, "k8s-app=istio-cni-node", node);

/** A rolling restart of all ztunnels; `meanwhile` again and again until the last one is Ready. */
export async function rollZtunnels(mesh: Mesh, meanwhile: () => Promise<unknown>): Promise<void> {
  const old = new Set((await ztunnelPods(mesh)).map((pod) => pod.uid));
  const annotations = { "kubectl.kubernetes.io/restartedAt": new Date().toISOString() };
  await mesh.client.json({
    method: "PATCH",
    path: `/apis/apps/v1/namespaces/${SYSTEM}/daemonsets/ztunnel`,
    contentType: "application/strategic-merge-patch+json",
    body: { spec: { template: { metadata: { annotations } } } },
  });
  await eventually(
    "all ztunnels replaced",
    async () => {
      await meanwhile();
      const pods = await ztunnelPods(mesh);
      return pods.length === old.size && pods.every((pod) => pod.ready && !old.has(pod.uid))
        ? true
        : undefined;
    },
    90_000,
  );
}

export async function dumpOf(mesh: Mesh, ztunnel: PodFacts): Promise<JsonObject> {
  const config = new KubeConfig();
  config.loadFromFile(mesh.cluster.kubeconfigPath);
  const target = { namespace: ztunnel.namespace, name: ztunnel.name, port: ADMIN_PORT };
  const signal = AbortSignal.timeout(5_000);
  const reply = await kubePortForward(config).request(
    target,
    { method: "GET", path: "/config_dump" },
    signal,
  );
  return jsonObject(JSON.parse(reply.body));
}

/** Waits until `holds` is true of every ztunnel's dump. */
export function everyZtunnel(mesh: Mesh, what: string, holds: (dump: JsonObject) => boolean): Promise<true> {
  return eventually(`every ztunnel: ${what}`, async () => {
    const pods = (await ztunnelPods(mesh)).filter((pod) => !pod.ending);
    const dumps = await Promise.all(pods.map((pod) => dumpOf(mesh, pod)));
    return dumps.length > 0 && dumps.every(holds) ? true : undefined;
  });
}

/** Every ztunnel reaches all these pods through tunnels (or none of them, if `inMesh` is false). */
export function podsInMesh(mesh: Mesh, pods: readonly PodFacts[], inMesh = true): Promise<true> {
  const names = pods.map((pod) => `${pod.namespace}/${pod.name}`);
  return everyZtunnel(mesh, `${names.join(", ")} ${inMesh ? "in" : "out of"} the mesh`, (dump) => {
    const hbone = new Set(
      jsonList(dump["workloads"])
        .map(jsonObject)
        .filter((w) => w["protocol"] === "HBONE")
        .map((w) => `${jsonText(w["namespace"])}/${jsonText(w["name"])}`),
    );
    return names.every((name) => hbone.has(name) === inMesh);
  });
}

/** Every ztunnel has (or no longer has) the policy `namespace/name`. */
export function policyKnown(mesh: Mesh, name: string, present = true): Promise<true> {
  return everyZtunnel(mesh, `policy ${name} ${present ? "there" : "gone"}`, (dump) => {
    const names = jsonList(dump["policies"])
      .map(jsonObject)
      .map((p) => `${jsonText(p["namespace"])}/${jsonText(p["name"])}`);
    return names.includes(name) === present;
  });
}
