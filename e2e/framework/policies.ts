/** Policies in suites: applied, waited for, taken back. */
import { jsonList, jsonObject, jsonText } from "#core/k8s/json-read.ts";
import { AUTHORIZATION_POLICY, kindPath, PEER_AUTHENTICATION, type Kind } from "#core/k8s/kinds.ts";
import { kubeStatus } from "#core/k8s/kube-client.ts";
import { deleteManifest, parseManifests } from "#local/manifests.ts";
import { eventually } from "./eventually.ts";
import type { Mesh } from "./mesh.ts";
import { applyYaml } from "./pods.ts";
import { policyKnown } from "./ztunnel-state.ts";

export interface ConditionFacts {
  readonly type: string;
  readonly status: string;
  readonly reason: string;
  readonly message: string;
}

/** Runs `work` while the policies of `yaml` are in force everywhere, and takes them back afterwards. */
export async function whilePolicy(mesh: Mesh, yaml: string, work: () => Promise<void>): Promise<void> {
  await applyYaml(mesh.client, yaml);
  try {
    await untilInForce(mesh, yaml);
    await work();
  } finally {
    for (const manifest of parseManifests(yaml, "suite")) await deleteManifest(mesh.client, manifest);
    await Promise.all(authorizationNames(yaml).map((name) => policyKnown(mesh, name, false)));
  }
}

/** Each policy has been judged by the controller, and those that ztunnel enforces are at every ztunnel. */
export async function untilInForce(mesh: Mesh, yaml: string): Promise<void> {
  for (const manifest of parseManifests(yaml, "suite")) {
    const { namespace, name } = jsonObject(manifest["metadata"]);
    const kind = manifest["kind"] === "PeerAuthentication" ? PEER_AUTHENTICATION : AUTHORIZATION_POLICY;
    const condition = await conditionOf(mesh, kind, jsonText(namespace), jsonText(name));
    const enforced =
      kind === AUTHORIZATION_POLICY && condition.type === "ZtunnelAccepted" && condition.status === "True";
    if (enforced) await policyKnown(mesh, `${jsonText(namespace)}/${jsonText(name)}`);
  }
}

function authorizationNames(yaml: string): readonly string[] {
  return parseManifests(yaml, "suite")
    .filter((manifest) => manifest["kind"] === "AuthorizationPolicy")
    .map((manifest) => jsonObject(manifest["metadata"]))
    .map(({ namespace, name }) => `${jsonText(namespace)}/${jsonText(name)}`);
}

/** The first condition of a policy, once the controller has written it for the present generation. */
export function conditionOf(
  mesh: Mesh,
  kind: Kind,
  namespace: string,
  name: string,
): Promise<ConditionFacts> {
  return eventually(`status of ${kind.kind} ${namespace}/${name}`, async () => {
    const object = jsonObject(
      await mesh.client.json({ method: "GET", path: kindPath(kind, { namespace, name }) }),
    );
    const generation = jsonObject(object["metadata"])["generation"];
    const [condition] = jsonList(jsonObject(object["status"])["conditions"]).map(jsonObject);
    if (condition === undefined || condition["observedGeneration"] !== generation) return undefined;
    const text = (field: string): string => jsonText(condition[field]);
    return { type: text("type"), status: text("status"), reason: text("reason"), message: text("message") };
  });
}

/** What the API says when it refuses the object; throws when it does not refuse it. */
export async function refusalOf(
  mesh: Mesh,
  kind: Kind,
  object: Readonly<Record<string, unknown>>,
): Promise<string> {
  const { namespace } = jsonObject(object["metadata"]);
  const path = kindPath(kind, { namespace: jsonText(namespace) });
  try {
    await mesh.client.json({ method: "POST", path, body: object });
  } catch (error) {
    const status = kubeStatus(error);
    if (status !== 422 && status !== 400) throw error;
    return String(error);
  }
  throw new Error(`${kind.kind} was accepted: ${JSON.stringify(object)}`);
}
