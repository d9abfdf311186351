/** The mesh and this waypoint's configuration from the controller: delta xDS under the waypoint's own account. */
import { readFile } from "node:fs/promises";
import type { Clock } from "#core/base/clock.ts";
import { readToken } from "#core/identity/read-token.ts";
import { TYPE_URL_WAYPOINT } from "#core/model/waypoint.ts";
import { TYPE_URL_ADDRESS } from "#core/model/well-known.ts";
import type { Logger } from "#core/runtime/log.ts";
import type { XdsNode } from "#core/wire/xds-codec.ts";
import { DeltaClient, type XdsUpdate } from "#core/xds/delta-client.ts";
import type { WaypointSettings } from "../config.ts";
import { applyWaypointUpdate, type WaypointState } from "../state/apply-waypoint-update.ts";

export interface XdsSourceDeps {
  readonly state: WaypointState;
  readonly clock: Clock;
  readonly log: Logger;
}

/** Name of the one configuration that is this waypoint's. */
export function configName({ podNamespace, gateway }: WaypointSettings): string {
  return `${podNamespace}/${gateway}`;
}

export function xdsClient(settings: WaypointSettings, { state, clock, log }: XdsSourceDeps): DeltaClient {
  const name = configName(settings);
  const deps = {
    log: log.child("xds"),
    clock,
    readRoots: () => readFile(settings.xdsRootPath, "utf8"),
    readToken: () => readToken(settings.authTokenPath),
    apply: (update: XdsUpdate) => applyWaypointUpdate(state, name, update),
  };
  return new DeltaClient(deps, {
    address: settings.xdsAddress,
    clusterId: settings.clusterId,
    node: xdsNode(settings),
    subscriptions: [
      { typeUrl: TYPE_URL_ADDRESS, mode: "wildcard" },
      { typeUrl: TYPE_URL_WAYPOINT, mode: "on-demand" },
    ],
  });
}

/** Four parts separated by `~`: type, address, pod, DNS domain. */
function xdsNode(settings: WaypointSettings): XdsNode {
  const { instanceIp, podName, podNamespace, serviceAccount, node, version } = settings;
  return {
    id: `waypoint~${instanceIp}~${podName}.${podNamespace}~${podNamespace}.svc.cluster.local`,
    cluster: "",
    metadata: {
      NAME: podName,
      NAMESPACE: podNamespace,
      SERVICE_ACCOUNT: serviceAccount,
      INSTANCE_IPS: instanceIp,
      NODE_NAME: node,
      ISTIO_VERSION: version,
    },
    buildVersion: "",
  };
}
