/** Reads the manifests of a folder and applies them, as `kubectl apply --server-side` does. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { parseAllDocuments } from "yaml";
import { jsonObject, jsonText } from "#core/k8s/json-read.ts";
import { type Kind, kindPath } from "#core/k8s/kinds.ts";
import { type KubeClient, kubeStatus } from "#core/k8s/kube-client.ts";
import { AmbitError } from "#core/runtime/errors.ts";

export type Manifest = Readonly<Record<string, unknown>>;

/** Plural and scope of every kind that the mesh and its samples are made of. */
const KINDS: Readonly<Record<string, { readonly plural: string; readonly namespaced: boolean }>> = {
  Namespace: { plural: "namespaces", namespaced: false },
  ConfigMap: { plural: "configmaps", namespaced: true },
  Secret: { plural: "secrets", namespaced: true },
  Service: { plural: "services", namespaced: true },
  ServiceAccount: { plural: "serviceaccounts", namespaced: true },
  Pod: { plural: "pods", namespaced: true },
  Deployment: { plural: "deployments", namespaced: true },
  DaemonSet: { plural: "daemonsets", namespaced: true },
  Role: { plural: "roles", namespaced: true },
  RoleBinding: { plural: "rolebindings", namespaced: true },
  ClusterRole: { plural: "clusterroles", namespaced: false },
  ClusterRoleBinding: { plural: "clusterrolebindings", namespaced: false },
  CustomResourceDefinition: { plural: "customresourcedefinitions", namespaced: false },
  NetworkPolicy: { plural: "networkpolicies", namespaced: true },
  ValidatingAdmissionPolicy: { plural: "validatingadmissionpolicies", namespaced: false },
  ValidatingAdmissionPolicyBinding: { plural: "validatingadmissionpolicybindings", namespaced: false },
  AuthorizationPolicy: { plural: "authorizationpolicies", namespaced: true },
  PeerAuthentication: { plural: "peerauthentications", namespaced: true },
  GatewayClass: { plural: "gatewayclasses", namespaced: false },
  Gateway: { plural: "gateways", namespaced: true },
};

/** Documents of one YAML text. Throws `MANIFEST_INVALID` with the position of the first error. */
export function parseManifests(text: string, source: string): readonly Manifest[] {
  return parseAllDocuments(text).flatMap((document) => {
    const [error] = document.errors;
    if (error !== undefined) throw new AmbitError("MANIFEST_INVALID", `${source}: ${error.message}`);
    const value = document.toJS() as unknown;
    return value === null || value === undefined ? [] : [jsonObject(value)];
  });
}

/** All `*.yaml` of a folder in order of name. */
export function readManifests(folder: string): readonly Manifest[] {
  const names = readdirSync(folder).filter((name) => name.endsWith(".yaml"));
  return names.toSorted().flatMap((name) => parseManifests(readFileSync(join(folder, name), "utf8"), name));
}

/** Server-side apply. A kind whose definition was applied a moment ago may not be served yet: tried for five seconds. */
export async function applyManifest(client: KubeClient, manifest: Manifest): Promise<void> {
  const { kind, namespace, name } = identify(manifest);
  for (let attempt = 0; ; attempt++) {
    try {
      await client.json({
        method: "PATCH",
        path: kindPath(kind, { namespace, name }),
        query: { fieldManager: "ambit", force: "true" },
        contentType: "application/apply-patch+yaml",
        body: manifest,
      });
      return;
    } catch (error) {
      if (kubeStatus(error) !== 404 || attempt >= 50) throw error;
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  }
}

/** Deletes without waiting for the end; absent is fine. */
export async function deleteManifest(client: KubeClient, manifest: Manifest): Promise<void> {
  const { kind, namespace, name } = identify(manifest);
  try {
    await client.json({ method: "DELETE", path: kindPath(kind, { namespace, name }) });
  } catch (error) {
    if (kubeStatus(error) !== 404) throw error;
  }
}

interface Identity {
  readonly kind: Kind;
  readonly namespace: string;
  readonly name: string;
}

function identify(manifest: Manifest): Identity {
  const metadata = jsonObject(manifest["metadata"]);
  const kindName = jsonText(manifest["kind"]);
  const known = Object.hasOwn(KINDS, kindName) ? KINDS[kindName] : undefined;
  if (known === undefined) throw new AmbitError("MANIFEST_INVALID", `kind "${kindName}" is not known here`);
  const [version = "", group = ""] = jsonText(manifest["apiVersion"]).split("/").toReversed();
  const namespace = jsonText(metadata["namespace"]) || (known.namespaced ? "default" : "");
  return { kind: { group, version, kind: kindName, ...known }, namespace, name: jsonText(metadata["name"]) };
}
