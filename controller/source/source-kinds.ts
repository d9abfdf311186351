/** The kinds that feed the graph: where each is read, with which selector, and into which collection. Data. */
import {
  AUTHORIZATION_POLICY,
  CONFIG_MAP,
  ENDPOINT_SLICE,
  GATEWAY,
  GATEWAY_CLASS,
  type Kind,
  NAMESPACE,
  NODE,
  PEER_AUTHENTICATION,
  POD,
  REPLICA_SET,
  SERVICE,
  SERVICE_ACCOUNT,
} from "#core/k8s/kinds.ts";
import type { KubeObject } from "#core/k8s/object-types.ts";
import {
  projectBare,
  projectConfigMap,
  projectCustom,
  projectEndpointSlice,
  projectNamespace,
  projectNode,
  projectOwned,
  projectPod,
  projectService,
} from "#core/k8s/project.ts";
import { WAYPOINT_CLASS } from "#core/model/waypoint.ts";
import { LABEL_GATEWAY_NAME } from "../waypoints/gateway/waypoint-pods.ts";
import type { StaticCollection } from "../collections/static.ts";
import type { Sources } from "../sources.ts";

export interface SourceKind<T extends KubeObject> {
  readonly kind: Kind;
  readonly project: (raw: unknown) => T;
  readonly collection: StaticCollection<T>;
  /** The system namespace alone, or all. */
  readonly systemOnly?: boolean;
  readonly labelSelector?: string;
  readonly fieldSelector?: string;
}

export type AnySourceKind = SourceKind<never>;

/** Slices that Kubernetes makes for a selector say nothing that the pods do not. */
const NOT_BY_KUBERNETES = "endpointslice.kubernetes.io/managed-by!=endpointslice-controller.k8s.io";
/** A pod that has ended leaves by a DELETED event. */
const NOT_ENDED = "status.phase!=Failed,status.phase!=Succeeded";

export function sourceKinds(sources: Sources): readonly AnySourceKind[] {
  return [
    { kind: NAMESPACE, project: projectNamespace, collection: sources.namespaces },
    { kind: NODE, project: projectNode, collection: sources.nodes },
    { kind: POD, project: projectPod, collection: sources.pods, fieldSelector: NOT_ENDED },
    { kind: SERVICE, project: projectService, collection: sources.services },
    { kind: SERVICE_ACCOUNT, project: projectBare, collection: sources.serviceAccounts },
    {
      kind: ENDPOINT_SLICE,
      project: projectEndpointSlice,
      collection: sources.endpointSlices,
      labelSelector: NOT_BY_KUBERNETES,
    },
    { kind: AUTHORIZATION_POLICY, project: projectCustom, collection: sources.authorizationPolicies },
    { kind: PEER_AUTHENTICATION, project: projectCustom, collection: sources.peerAuthentications },
    { kind: GATEWAY, project: projectCustom, collection: sources.gateways },
    {
      kind: GATEWAY_CLASS,
      project: projectCustom,
      collection: sources.gatewayClasses,
      fieldSelector: `metadata.name=${WAYPOINT_CLASS}`,
    },
    {
      kind: REPLICA_SET,
      project: projectOwned,
      collection: sources.replicaSets,
      labelSelector: LABEL_GATEWAY_NAME,
    },
    {
      kind: CONFIG_MAP,
      project: projectConfigMap,
      collection: sources.meshConfigMaps,
      systemOnly: true,
      fieldSelector: "metadata.name=istio",
    },
  ] as unknown as readonly AnySourceKind[];
}
