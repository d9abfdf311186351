/** The inputs of the graph: one settable collection per kind. Filled by informers, or by files. */
import type {
  ConfigMapObject,
  CustomObject,
  EndpointSliceObject,
  NamespaceObject,
  NodeObject,
  OwnedObject,
  PodObject,
  ServiceAccountObject,
  ServiceObject,
} from "#core/k8s/object-types.ts";
import { StaticCollection } from "./collections/static.ts";

export class Sources {
  readonly namespaces: StaticCollection<NamespaceObject> = new StaticCollection("namespaces");
  readonly nodes: StaticCollection<NodeObject> = new StaticCollection("nodes");
  readonly pods: StaticCollection<PodObject> = new StaticCollection("pods");
  readonly services: StaticCollection<ServiceObject> = new StaticCollection("services");
  readonly serviceAccounts: StaticCollection<ServiceAccountObject> = new StaticCollection("serviceaccounts");
  readonly endpointSlices: StaticCollection<EndpointSliceObject> = new StaticCollection("endpointslices");
  readonly authorizationPolicies: StaticCollection<CustomObject> = new StaticCollection(
    "authorizationpolicies",
  );
  readonly peerAuthentications: StaticCollection<CustomObject> = new StaticCollection("peerauthentications");
  /** Of every class: other classes are left out where they are read. */
  readonly gateways: StaticCollection<CustomObject> = new StaticCollection("gateways");
  /** That of waypoints alone. */
  readonly gatewayClasses: StaticCollection<CustomObject> = new StaticCollection("gatewayclasses");
  /** Those whose pods say that they are of a gateway. */
  readonly replicaSets: StaticCollection<OwnedObject> = new StaticCollection("replicasets");
  /** ConfigMap `istio` of the system namespace alone. */
  readonly meshConfigMaps: StaticCollection<ConfigMapObject> = new StaticCollection("configmaps");
}
