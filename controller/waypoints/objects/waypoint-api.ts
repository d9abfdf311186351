/** The writes of the reconciler. */
import { serverSideApply } from "#core/k8s/apply.ts";
import { apiVersion, GATEWAY, kindPath } from "#core/k8s/kinds.ts";
import { type KubeClient, kubeStatus } from "#core/k8s/kube-client.ts";
import { ANNOTATION_BINDING, AUTOMATIC_WAYPOINT, WAYPOINT_CLASS } from "#core/model/waypoint.ts";
import { HBONE_PORT } from "#core/model/well-known.ts";
import type { WaypointImage } from "./render-waypoint.ts";
import type { WaypointGateway } from "../gateway/waypoint-gateway.ts";
import { FIELD_MANAGER, type Provision, provideWaypoint, removePods } from "./waypoint-objects.ts";
import { formatRecord, type WaypointRecord } from "../gateway/waypoint-record.ts";

export interface WaypointApi {
  createGateway(namespace: string, record: WaypointRecord): Promise<void>;
  /** Fails when the Gateway is no longer as it was seen. */
  writeRecord(gateway: WaypointGateway, record: WaypointRecord): Promise<void>;
  deleteGateway(gateway: WaypointGateway): Promise<void>;
  provide(gateway: WaypointGateway): Promise<Provision>;
  removePods(gateway: WaypointGateway): Promise<void>;
}

export function waypointApi(client: KubeClient, image: () => WaypointImage): WaypointApi {
  return {
    createGateway: async (namespace, record) => {
      // Created, not applied: a Gateway of this name that somebody else made must not become ours.
      await client.json({
        method: "POST",
        path: kindPath(GATEWAY, { namespace }),
        query: { fieldManager: FIELD_MANAGER },
        body: {
          apiVersion: apiVersion(GATEWAY),
          kind: GATEWAY.kind,
          ...automaticGateway(record),
          metadata: { ...automaticGateway(record).metadata, name: AUTOMATIC_WAYPOINT, namespace },
        },
      });
    },
    writeRecord: async (gateway, record) => {
      const { namespace, name, uid, resourceVersion, automatic } = gateway;
      const content = automatic
        ? automaticGateway(record)
        : { metadata: { annotations: { [ANNOTATION_BINDING]: formatRecord(record) } } };
      await serverSideApply(
        client,
        { kind: GATEWAY, namespace, name },
        { ...content, metadata: { ...content.metadata, uid, resourceVersion } },
        { fieldManager: FIELD_MANAGER, force: true },
      );
    },
    deleteGateway: async ({ namespace, name, uid, resourceVersion }) => {
      try {
        await client.json({
          method: "DELETE",
          path: kindPath(GATEWAY, { namespace, name }),
          body: { preconditions: { uid, resourceVersion }, propagationPolicy: "Background" },
        });
      } catch (error) {
        if (kubeStatus(error) !== 404) throw error;
      }
    },
    provide: ({ namespace, name, uid }) =>
      provideWaypoint(client, { namespace, name, gatewayUid: uid }, image()),
    removePods: ({ namespace, name, uid }) => removePods(client, { namespace, name, gatewayUid: uid }),
  };
}

function automaticGateway(record: WaypointRecord) {
  return {
    metadata: {
      labels: {
        "app.kubernetes.io/part-of": "ambit",
        "gateway.istio.io/managed": "istio.io-mesh-controller",
      },
      annotations: { [ANNOTATION_BINDING]: formatRecord(record) },
    },
    spec: {
      gatewayClassName: WAYPOINT_CLASS,
      listeners: [{ name: "mesh", port: HBONE_PORT, protocol: "HBONE" }],
    },
  };
}
