/**
 * Makes and keeps the objects of a waypoint. An object of the name that belongs to somebody else is never touched: whoever
 * made it could run code under it, so there is no waypoint then.
 */
import { serverSideApply } from "#core/k8s/apply.ts";
import { jsonList, jsonObject, jsonText } from "#core/k8s/json-read.ts";
import { apiVersion, DEPLOYMENT, type Kind, kindPath, SERVICE, SERVICE_ACCOUNT } from "#core/k8s/kinds.ts";
import type { KubeClient } from "#core/k8s/kube-client.ts";
import {
  ANNOTATION_MADE_FROM,
  renderWaypoint,
  type WaypointIdentity,
  type WaypointImage,
} from "./render-waypoint.ts";

export type Provision =
  | { readonly kind: "provided"; readonly deploymentUid: string; readonly addresses: readonly string[] }
  | { readonly kind: "taken"; readonly what: string };

export const FIELD_MANAGER = "ambit-controller";

type Json = Readonly<Record<string, unknown>>;

/** Idempotent: writes only what is missing or differs from what it was made from. */
export async function provideWaypoint(
  client: KubeClient,
  identity: WaypointIdentity,
  image: WaypointImage,
): Promise<Provision> {
  const { serviceAccount, service, deployment } = renderWaypoint(identity, image);
  const made: Json[] = [];
  for (const [kind, manifest] of [
    [SERVICE_ACCOUNT, serviceAccount],
    [SERVICE, service],
    [DEPLOYMENT, deployment],
  ] as const) {
    const object = await ensure(client, kind, identity, manifest);
    if (object === undefined) {
      return { kind: "taken", what: `${kind.kind} ${identity.namespace}/${identity.name}` };
    }
    made.push(object);
  }
  const ips = jsonList(jsonObject(made[1]?.["spec"])["clusterIPs"]).map(jsonText);
  return {
    kind: "provided",
    deploymentUid: jsonText(jsonObject(made[2]?.["metadata"])["uid"]),
    addresses: ips.filter((ip) => ip !== "" && ip !== "None"),
  };
}

/** The waypoint's pods go, as its grace period lets them; account and service stay until the Gateway goes. */
export async function removePods(client: KubeClient, identity: WaypointIdentity): Promise<void> {
  const { namespace, name } = identity;
  const found = await find(client, DEPLOYMENT, namespace, name);
  if (found === undefined || !isOwn(found, identity)) return;
  await client.json({
    method: "DELETE",
    path: kindPath(DEPLOYMENT, { namespace, name }),
    body: {
      propagationPolicy: "Background",
      preconditions: { uid: jsonText(jsonObject(found["metadata"])["uid"]) },
    },
  });
}

/** The object as it is now; undefined when it is somebody else's. */
async function ensure(
  client: KubeClient,
  kind: Kind,
  identity: WaypointIdentity,
  manifest: Json,
): Promise<Json | undefined> {
  const { namespace, name } = identity;
  const found = await find(client, kind, namespace, name);
  const metadata = jsonObject(manifest["metadata"]);
  if (found === undefined) {
    // Not applied but created: a foreign object that appears in this moment must not be merged into.
    const body = {
      ...manifest,
      apiVersion: apiVersion(kind),
      kind: kind.kind,
      metadata: { ...metadata, name, namespace },
    };
    const query = { fieldManager: FIELD_MANAGER };
    return jsonObject(
      await client.json({ method: "POST", path: kindPath(kind, { namespace }), query, body }),
    );
  }
  if (!isOwn(found, identity)) return undefined;
  const uid = jsonText(jsonObject(found["metadata"])["uid"]);
  if (madeFrom(found) === madeFrom(manifest)) return found;
  const applied = await serverSideApply(
    client,
    { kind, namespace, name },
    { ...manifest, metadata: { ...metadata, uid } },
    { fieldManager: FIELD_MANAGER, force: true },
  );
  return jsonObject(applied);
}

/** By a list, which needs no right to read every object of the kind one by one. */
async function find(
  client: KubeClient,
  kind: Kind,
  namespace: string,
  name: string,
): Promise<Json | undefined> {
  const list = jsonObject(
    await client.json({
      method: "GET",
      path: kindPath(kind, { namespace }),
      query: { fieldSelector: `metadata.name=${name}` },
    }),
  );
  return jsonList(list["items"])
    .map(jsonObject)
    .find((item) => jsonObject(item["metadata"])["name"] === name);
}

function isOwn(object: Json, { gatewayUid }: WaypointIdentity): boolean {
  return jsonList(jsonObject(object["metadata"])["ownerReferences"])
    .map(jsonObject)
    .some((owner) => owner["controller"] === true && owner["uid"] === gatewayUid);
}

function madeFrom(object: Json): string {
  const annotations = jsonObject(jsonObject(object["metadata"])["annotations"]);
  return jsonText(annotations[ANNOTATION_MADE_FROM]);
}
