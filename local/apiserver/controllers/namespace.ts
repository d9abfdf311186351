/** Namespaces: each has an account `default` and the cluster's root certificate; deleted ones are emptied first. */
import { type ApiObject, dig, digList, type JsonMap, timestamp } from "../object.ts";
import type { RestDeps } from "../rest/context.ts";
import { ControllerClient } from "./controller-client.ts";

const ROOT_CA = "kube-root-ca.crt";
const DESCRIPTION =
  "Contains a CA bundle that can be used to verify the kube-apiserver when using internal endpoints such as the internal service IP or kubernetes.default.svc. " +
  "No other usage is guaranteed across distributions of Kubernetes clusters.";
const RECHECK_MS = 2000;

export function startNamespaceController(deps: RestDeps, caPem: string): ControllerClient {
  const client = new ControllerClient(deps, "namespace-controller");
  const queue = client.queue(async (name) => {
    const namespace = client.get("namespaces", "", name);
    if (namespace === undefined) return;
    if (namespace.metadata.deletionTimestamp === undefined) await provide(client, name, caPem);
    else if (!(await drain(client, namespace))) queue.add(name, RECHECK_MS);
  });
  client.watch("namespaces", (event) => queue.add(event.key));
  client.onStop(
    deps.store.subscribeAll((id, event) => {
      const { namespace, name } = event.current.object.metadata;
      if (namespace === undefined) return;
      const provided =
        (id === "serviceaccounts" && name === "default") || (id === "configmaps" && name === ROOT_CA);
      if (provided || event.type === "DELETED") queue.add(namespace);
    }),
  );
  return client;
}

async function provide(client: ControllerClient, name: string, caPem: string): Promise<void> {
  if (client.get("serviceaccounts", name, "default") === undefined)
    await client.create("serviceaccounts", name, { metadata: { name: "default" } });
  const data = { "ca.crt": caPem };
  const live = client.get("configmaps", name, ROOT_CA);
  if (live === undefined) {
    await client.create("configmaps", name, {
      metadata: { name: ROOT_CA, annotations: { "kubernetes.io/description": DESCRIPTION } },
      data,
    });
  } else if (dig(live.data, "ca.crt") !== caPem)
    await client.update("configmaps", live, (current) => ({ ...current, data }));
}

/** True when nothing is left and the namespace is gone or waits for finalizers of others. */
async function drain(client: ControllerClient, namespace: ApiObject): Promise<boolean> {
  const { name } = namespace.metadata;
  const { registry, clock } = client.deps;
  let left = 0;
  for (const resource of registry.stored().filter((candidate) => candidate.namespaced)) {
    for (const object of client.list(resource.id, name)) {
      const marked = object.metadata.deletionTimestamp !== undefined;
      if (marked || !(await client.deleteAsOneOfMany(resource.id, object))) left += 1;
    }
  }
  if (left === 0) {
    const others = digList(namespace.spec, "finalizers").filter((finalizer) => finalizer !== "kubernetes");
    await client.updateTrusted("namespaces", namespace, (live) => ({
      ...live,
      spec: others.length === 0 ? {} : { finalizers: others },
    }));
    return true;
  }
  const message = `Some resources are remaining: ${left} objects`;
  const lastTransitionTime = timestamp(clock.nowMs());
  const condition = {
    type: "NamespaceContentRemaining",
    status: "True",
    reason: "SomeResourcesRemain",
    message,
    lastTransitionTime,
  };
  const current = digList(namespace.status, "conditions")[0];
  if (dig(current, "message") !== message) {
    await client.setStatus("namespaces", namespace, {
      ...(namespace.status as JsonMap),
      conditions: [condition],
    });
  }
  return false;
}
