/** The cluster as the informers have it, in the form that caller and node checks ask for. */
import type { NamespaceObject, PodObject } from "#core/k8s/object-types.ts";
import type { KeyIndex } from "../collections/key-index.ts";
import type { Sources } from "../sources.ts";
import type { ClusterView } from "./caller-identity.ts";
import type { NodeCheckFacts } from "./node-check.ts";

export function clusterView(sources: Sources): ClusterView & NodeCheckFacts {
  const byNodeAndAccount: KeyIndex<PodObject> = sources.pods.index("pods by node and account", (pod) =>
    pod.node === "" || pod.serviceAccount === ""
      ? []
      : [`${pod.node}|${pod.metadata.namespace}/${pod.serviceAccount}`],
  );
  return {
    pod: (namespace, name) => sources.pods.get(`${namespace}/${name}`),
    serviceAccount: (namespace, name) => sources.serviceAccounts.get(`${namespace}/${name}`),
    node: (name) => sources.nodes.get(name),
    podsOn: (node, account) => byNodeAndAccount.get(`${node}|${account}`),
    namespace: (name): NamespaceObject | undefined => sources.namespaces.get(name),
  };
}
