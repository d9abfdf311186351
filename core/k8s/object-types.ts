/**
 * Pure. The fields of Kubernetes objects that Ambit reads, after projection at the edge (`project.ts`):
 * what is not listed here is dropped before it is kept. Absent text is "", absent lists are empty.
 */

export interface ObjectMeta {
  readonly name: string;
  /** Empty for cluster-scoped objects. */
  readonly namespace: string;
  readonly uid: string;
  readonly resourceVersion: string;
  readonly generation: number;
  readonly creationMs: number;
  readonly deletionMs: number | undefined;
  readonly labels: Readonly<Record<string, string>>;
  /** Only keys of istio.io, ambit.io and the mirror-pod mark (`project.ts`). */
  readonly annotations: Readonly<Record<string, string>>;
}

export interface KubeObject {
  readonly metadata: ObjectMeta;
}

export interface NamedPort {
  readonly name: string;
  readonly port: number;
}

export type PodPhase = "Pending" | "Running" | "Succeeded" | "Failed" | "Unknown";

/** Something of which only its place among owners matters. */
export interface OwnedObject extends KubeObject {
  /** The controlling owner, such as a ReplicaSet. */
  readonly owner: { readonly kind: string; readonly name: string; readonly uid: string } | undefined;
}

export interface PodObject extends OwnedObject {
  /** Empty for mirror pods: no identity, never `default`. */
  readonly serviceAccount: string;
  readonly node: string;
  readonly hostNetwork: boolean;
  /** As text, not yet validated. */
  readonly ips: readonly string[];
  /** Declared TCP container ports, init containers that keep running included. */
  readonly ports: readonly NamedPort[];
  readonly ready: boolean;
  readonly phase: PodPhase;
  /** Non-empty `host` values of probes and lifecycle handlers that are not loopback. */
  readonly foreignProbeHosts: readonly string[];
}

export interface NamespaceObject extends KubeObject {
  readonly terminating: boolean;
}

export interface NodeObject extends KubeObject {
  readonly podCidrs: readonly string[];
  /** InternalIP and ExternalIP addresses as text. */
  readonly addresses: readonly string[];
}

export type ServiceAccountObject = KubeObject;

export interface ServicePortSpec {
  readonly name: string;
  readonly port: number;
  /** A number, or the name of a container port. */
  readonly targetPort: number | string;
  readonly protocol: string;
  readonly appProtocol: string;
}

export interface ServiceObject extends KubeObject {
  readonly type: string;
  readonly selector: Readonly<Record<string, string>>;
  /** Without `None`. */
  readonly clusterIps: readonly string[];
  readonly ipFamilies: readonly string[];
  readonly ports: readonly ServicePortSpec[];
  readonly internalTrafficPolicy: string;
  readonly trafficDistribution: string;
  readonly publishNotReadyAddresses: boolean;
  /** `status.conditions` as served. */
  readonly conditions: readonly unknown[];
}

export interface SliceEndpoint {
  readonly addresses: readonly string[];
  readonly ready: boolean;
  readonly node: string;
  readonly zone: string;
  /** `kind/name` of targetRef, empty without. */
  readonly target: string;
}

export interface EndpointSliceObject extends KubeObject {
  readonly service: string;
  readonly addressType: string;
  readonly ports: readonly { readonly name: string; readonly port: number; readonly protocol: string }[];
  readonly endpoints: readonly SliceEndpoint[];
}

/** A custom resource kept whole: its translator validates and reports field by field. */
export interface CustomObject extends KubeObject {
  readonly spec: unknown;
  /** `status.conditions` as served. */
  readonly conditions: readonly unknown[];
}

export interface ConfigMapObject extends KubeObject {
  readonly data: Readonly<Record<string, string>>;
}

export interface SecretObject extends KubeObject {
  /** Cannot be changed: every update repeats it. */
  readonly type: string;
  /** Base64 text as served. Secret: never logged. */
  readonly data: Readonly<Record<string, string>>;
}

/** Key of an object in its kind: `namespace/name`, or the name alone for cluster-scoped kinds. */
export function objectKey(object: KubeObject): string {
  const { namespace, name } = object.metadata;
  return namespace === "" ? name : `${namespace}/${name}`;
}
