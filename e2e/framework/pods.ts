/** Pods as suites handle them: made from a few facts, found, waited for, removed. */
import { jsonList, jsonNumber, jsonObject, jsonText } from "#core/k8s/json-read.ts";
import { EVENT, kindPath, POD } from "#core/k8s/kinds.ts";
import { type KubeClient, kubeStatus } from "#core/k8s/kube-client.ts";
import { ip, type IpAddress, ipFamily } from "#core/net/ip.ts";
import { applyManifest, parseManifests } from "#local/manifests.ts";
import { eventually } from "./eventually.ts";

export interface PodFacts {
  readonly namespace: string;
  readonly name: string;
  readonly uid: string;
  readonly node: string;
  readonly container: string;
  readonly phase: string;
  readonly ready: boolean;
  /** A deletion has begun. */
  readonly ending: boolean;
  readonly restarts: number;
  readonly waiting: string;
  readonly ips: readonly IpAddress[];
  readonly ipv4: IpAddress;
  readonly ipv6: IpAddress;
  readonly captured: boolean;
}

export interface PodSpec {
  readonly namespace: string;
  readonly name: string;
  readonly node: string;
  readonly image?: string;
  readonly serviceAccount?: string;
  readonly labels?: Readonly<Record<string, string>>;
  /** Merged into the pod's `spec`. */
  readonly spec?: Readonly<Record<string, unknown>>;
  /** Merged into the only container. */
  readonly container?: Readonly<Record<string, unknown>>;
}

const ANNOTATION = "ambient.istio.io/redirection";

export async function applyYaml(client: KubeClient, yaml: string): Promise<void> {
  for (const manifest of parseManifests(yaml, "suite")) await applyManifest(client, manifest);
}

export function podManifest(spec: PodSpec): Readonly<Record<string, unknown>> {
  const { namespace, name, node, labels = { app: name } } = spec;
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name, namespace, labels },
    spec: {
      nodeSelector: { "kubernetes.io/hostname": node },
      terminationGracePeriodSeconds: 1,
      ...(spec.serviceAccount === undefined ? {} : { serviceAccountName: spec.serviceAccount }),
      ...spec.spec,
      containers: [{ name: "main", image: spec.image ?? "ambit/sample-client", ...spec.container }],
    },
  };
}

export async function createPod(client: KubeClient, spec: PodSpec): Promise<void> {
  const path = kindPath(POD, { namespace: spec.namespace });
  await eventually(
    `pod ${spec.name} accepted`,
    async () => {
      try {
        await client.json({ method: "POST", path, body: podManifest(spec) });
      } catch (error) {
        // A service account of a moment ago may not be seen yet.
        if (!/service ?account/i.test(String(error))) throw error;
        return undefined;
      }
      return true;
    },
    5_000,
  );
}

/** Creates the pods and waits until all of them are Ready. */
export async function runPods(client: KubeClient, specs: readonly PodSpec[]): Promise<readonly PodFacts[]> {
  await Promise.all(specs.map((spec) => createPod(client, spec)));
  return Promise.all(specs.map((spec) => podReady(client, spec.namespace, spec.name)));
}

export async function runPod(client: KubeClient, spec: PodSpec): Promise<PodFacts> {
  await createPod(client, spec);
  return podReady(client, spec.namespace, spec.name);
}

export function podReady(client: KubeClient, namespace: string, name: string): Promise<PodFacts> {
  return eventually(`pod ${namespace}/${name} Ready`, async () => {
    const pod = await findPod(client, namespace, name);
    if (pod?.ready !== true) throw new Error(`${pod?.phase} ${pod?.waiting}`);
    return pod;
  });
}

export async function findPod(
  client: KubeClient,
  namespace: string,
  name: string,
): Promise<PodFacts | undefined> {
  try {
    return podFacts(await client.json({ method: "GET", path: kindPath(POD, { namespace, name }) }));
  } catch (error) {
    if (kubeStatus(error) === 404) return undefined;
    throw error;
  }
}

export async function listPods(
  client: KubeClient,
  namespace: string,
  labelSelector = "",
): Promise<readonly PodFacts[]> {
  const list = await client.json({
    method: "GET",
    path: kindPath(POD, { namespace }),
    query: { labelSelector },
  });
  return jsonList(jsonObject(list)["items"]).map(podFacts);
}

/** Waits for exactly one Ready pod with this label that is not going away. */
export function onlyPod(client: KubeClient, namespace: string, labelSelector: string): Promise<PodFacts> {
  return eventually(`one pod ${labelSelector} in ${namespace}`, async () => {
    const pods = (await listPods(client, namespace, labelSelector)).filter((pod) => !pod.ending);
    return pods.length === 1 && pods[0]?.ready === true ? pods[0] : undefined;
  });
}

/** Resolves when the object is gone. */
export async function removePod(client: KubeClient, pod: { namespace: string; name: string }): Promise<void> {
  const { namespace, name } = pod;
  await client
    .json({ method: "DELETE", path: kindPath(POD, { namespace, name }) })
    .catch((error: unknown) => {
      if (kubeStatus(error) !== 404) throw error;
    });
  await eventually(`pod ${name} gone`, async () =>
    (await findPod(client, namespace, name)) === undefined ? true : undefined,
  );
}

/** Messages of the events about a pod, newest last. */
export async function podEvents(
  client: KubeClient,
  pod: { namespace: string; name: string },
): Promise<readonly string[]> {
  const list = await client.json({ method: "GET", path: kindPath(EVENT, { namespace: pod.namespace }) });
  return jsonList(jsonObject(list)["items"])
    .map(jsonObject)
    .filter((event) => jsonText(jsonObject(event["involvedObject"])["name"]) === pod.name)
    .map((event) => `${jsonText(event["reason"])}: ${jsonText(event["message"])}`);
}

function podFacts(object: unknown): PodFacts {
  const { metadata, spec, status } = jsonObject(object);
  const meta = jsonObject(metadata);
  const state = jsonObject(status);
  const ips = jsonList(state["podIPs"]).map((entry) => ip(jsonText(jsonObject(entry)["ip"])));
  const [container] = jsonList(jsonObject(spec)["containers"]).map(jsonObject);
  const statuses = jsonList(state["containerStatuses"]).map(jsonObject);
  const conditions = jsonList(state["conditions"]).map(jsonObject);
  const waiting = statuses.map((s) => jsonObject(jsonObject(s["state"])["waiting"]));
  return {
    namespace: jsonText(meta["namespace"]),
    name: jsonText(meta["name"]),
    uid: jsonText(meta["uid"]),
    node: jsonText(jsonObject(spec)["nodeName"]),
    container: jsonText(container?.["name"]),
    phase: jsonText(state["phase"]),
    ready: conditions.some((c) => c["type"] === "Ready" && c["status"] === "True"),
    ending: meta["deletionTimestamp"] !== undefined,
    restarts: statuses.reduce((sum, s) => sum + (jsonNumber(s["restartCount"]) ?? 0), 0),
    waiting: waiting.map((w) => `${jsonText(w["reason"])} ${jsonText(w["message"])}`.trim()).join("; "),
    ips,
    ipv4: ips.find((address) => ipFamily(address) === 4) ?? ip("0.0.0.0"),
    ipv6: ips.find((address) => ipFamily(address) === 6) ?? ip("::"),
    captured: jsonObject(meta["annotations"])[ANNOTATION] === "enabled",
  };
}
