/** The fields of API objects that the kubelet reads and writes, as JSON. No behaviour here. */
import type {
  V1Container,
  V1EnvVar,
  V1LifecycleHandler,
  V1PodSecurityContext,
  V1PodSpec,
  V1Probe,
  V1Volume,
  V1VolumeMount,
  V1VolumeProjection,
} from "@kubernetes/client-node";
import type { ObjectMeta } from "../network/service-ports.ts";

/** A model of the client library as it stands in JSON, not to be changed. */
type Json<T> = T extends Date
  ? string
  : T extends readonly (infer Item)[]
    ? readonly Json<Item>[]
    : T extends object
      ? { readonly [Field in keyof T]: Json<T[Field]> }
      : T;

export interface PodObject {
  readonly metadata: ObjectMeta & { readonly uid: string; readonly namespace: string };
  readonly spec: PodSpec;
  readonly status?: PodStatus;
}

export type PodSpec = Omit<Json<V1PodSpec>, "containers" | "initContainers"> & {
  readonly containers: readonly ContainerSpec[];
  readonly initContainers?: readonly ContainerSpec[];
};
export type ContainerSpec = Json<V1Container> & { readonly image: string };
export type UserContext = Pick<Json<V1PodSecurityContext>, "runAsUser" | "runAsGroup" | "runAsNonRoot">;
export type Quantities = Readonly<Record<string, string>>;
export type EnvVar = Json<V1EnvVar>;
export type VolumeMount = Json<V1VolumeMount>;
export type VolumeSpec = Json<V1Volume>;
export type ProjectedSource = Json<V1VolumeProjection>;
export type HandlerSpec = Json<V1LifecycleHandler>;
export type ProbeSpec = Json<V1Probe>;

export interface PodCondition {
  readonly type: string;
  readonly status: "True" | "False";
  readonly lastTransitionTime?: string;
  readonly reason?: string;
  readonly message?: string;
}

export interface ContainerState {
  readonly waiting?: { readonly reason: string; readonly message?: string };
  readonly running?: { readonly startedAt: string };
  readonly terminated?: {
    readonly exitCode: number;
    readonly reason: string;
    readonly startedAt: string;
    readonly finishedAt: string;
    readonly containerID?: string;
  };
}

export interface ContainerStatus {
  readonly name: string;
  readonly image: string;
  readonly imageID: string;
  readonly containerID?: string;
  readonly ready: boolean;
  readonly started: boolean;
  readonly restartCount: number;
  readonly state: ContainerState;
  readonly lastState: ContainerState;
}

export interface PodStatus {
  readonly phase?: string;
  readonly reason?: string;
  readonly message?: string;
  readonly hostIP?: string;
  readonly hostIPs?: readonly { readonly ip: string }[];
  readonly podIP?: string;
  readonly podIPs?: readonly { readonly ip: string }[];
  readonly startTime?: string;
  readonly qosClass?: string;
  readonly conditions?: readonly PodCondition[];
  readonly initContainerStatuses?: readonly ContainerStatus[];
  readonly containerStatuses?: readonly ContainerStatus[];
  readonly observedGeneration?: number;
}
