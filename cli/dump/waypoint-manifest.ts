/** Pure. The Gateway that `ambit waypoint generate` prints and `apply` applies: the same as istioctl's. */
import { apiVersion, GATEWAY } from "#core/k8s/kinds.ts";
import type { JsonObject } from "#core/k8s/json-read.ts";
import { WAYPOINT_CLASS } from "#core/model/waypoint.ts";
import { HBONE_PORT } from "#core/model/well-known.ts";

export interface WaypointWish {
  readonly name: string;
  /** Undefined: the manifest names none. */
  readonly namespace: string | undefined;
  /** Undefined: services. */
  readonly trafficType: string | undefined;
  readonly revision: string | undefined;
}

export function waypointManifest({ name, namespace, trafficType, revision }: WaypointWish): JsonObject {
  const labels = {
    ...(trafficType === undefined ? {} : { "istio.io/waypoint-for": trafficType }),
    ...(revision === undefined ? {} : { "istio.io/rev": revision }),
  };
  return {
    apiVersion: apiVersion(GATEWAY),
    kind: GATEWAY.kind,
    metadata: {
      name,
      ...(namespace === undefined ? {} : { namespace }),
      ...(Object.keys(labels).length === 0 ? {} : { labels }),
    },
    spec: {
      gatewayClassName: WAYPOINT_CLASS,
      listeners: [{ name: "mesh", port: HBONE_PORT, protocol: "HBONE" }],
    },
  };
}
