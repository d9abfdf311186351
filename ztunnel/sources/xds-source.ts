/** The mesh from the controller: delta xDS with the identity that Istio's control plane expects of a ztunnel. */
import { readFile } from "node:fs/promises";
import type { Clock } from "#core/base/clock.ts";
import { readToken } from "#core/identity/read-token.ts";
import { TYPE_URL_ADDRESS, TYPE_URL_AUTHORIZATION } from "#core/model/well-known.ts";
import type { Logger } from "#core/runtime/log.ts";
import type { XdsNode } from "#core/wire/xds-codec.ts";
import { DeltaClient } from "#core/xds/delta-client.ts";
import type { ZtunnelConfig } from "../config.ts";
import { applyUpdate } from "#core/state/apply-update.ts";
import type { MeshState } from "#core/state/mesh-state.ts";

export interface XdsSourceDeps {
  readonly state: MeshState;
  readonly clock: Clock;
  readonly log: Logger;
}

export function xdsClient(config: ZtunnelConfig, { state, clock, log }: XdsSourceDeps): DeltaClient {
  const deps = {
    log: log.child("xds"),
    clock,
    readRoots: () => readFile(config.xdsRootPath, "utf8"),
    readToken: () => readToken(config.authTokenPath),
    apply: (update: Parameters<typeof applyUpdate>[1]) => applyUpdate(state, update),
  };
  return new DeltaClient(deps, {
    address: config.xdsAddress,
    clusterId: config.clusterId,
    node: xdsNode(config),
    subscriptions: [
      { typeUrl: TYPE_URL_ADDRESS, mode: "wildcard" },
      { typeUrl: TYPE_URL_AUTHORIZATION, mode: "wildcard" },
    ],
  });
}

/** Four parts separated by `~`: type, address, pod, DNS domain. */
function xdsNode({ instanceIp, podName, podNamespace, node, version }: ZtunnelConfig): XdsNode {
  return {
    id: `ztunnel~${instanceIp}~${podName}.${podNamespace}~${podNamespace}.svc.cluster.local`,
    cluster: "",
    metadata: {
      NAME: podName,
      NAMESPACE: podNamespace,
      INSTANCE_IPS: instanceIp,
      NODE_NAME: node,
      ISTIO_VERSION: version,
    },
    buildVersion: "",
  };
}
