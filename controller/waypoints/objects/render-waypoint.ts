/** Pure. The objects of one waypoint: account, service and pods, all named as its Gateway and owned by it. */
import { hash } from "node:crypto";
import { WAYPOINT_CLASS } from "#core/model/waypoint.ts";
import {
  HBONE_PORT,
  METRICS_PORT,
  READINESS_PORT,
  ROOT_CERT_CONFIGMAP,
  TOKEN_AUDIENCE,
} from "#core/model/well-known.ts";
import { LABEL_GATEWAY_NAME } from "../gateway/waypoint-pods.ts";

export interface WaypointIdentity {
  readonly namespace: string;
  /** Of the Gateway, and so of everything. */
  readonly name: string;
  readonly gatewayUid: string;
}

export interface WaypointImage {
  readonly image: string;
  readonly clusterId: string;
  readonly network: string;
  readonly trustDomain: string;
  readonly trustDomainAliases: readonly string[];
  /** `https://istiod.istio-system.svc:15012`. */
  readonly controllerAddress: string;
}

type Manifest = Readonly<Record<string, unknown>>;

export interface WaypointManifests {
  readonly serviceAccount: Manifest;
  readonly service: Manifest;
  readonly deployment: Manifest;
}

/** On each object: what it was made from, so that an equal one is not written again. */
export const ANNOTATION_MADE_FROM = "ambit.io/made-from";
const LABEL_MANAGED = "gateway.istio.io/managed";
const TERMINATION_GRACE_SECONDS = 30;
/** Anything but root. */
const USER = 1_337;

export function renderWaypoint(identity: WaypointIdentity, image: WaypointImage): WaypointManifests {
  return {
    serviceAccount: marked({
      metadata: metadata(identity),
      // Its token is of no use for the Kubernetes API, and so is not there.
      automountServiceAccountToken: false,
    }),
    service: marked({ metadata: metadata(identity), spec: serviceSpec(identity) }),
    deployment: marked({ metadata: metadata(identity), spec: deploymentSpec(identity, image) }),
  };
}

function selector({ name }: WaypointIdentity): Readonly<Record<string, string>> {
  return { [LABEL_GATEWAY_NAME]: name };
}

function labels(identity: WaypointIdentity): Readonly<Record<string, string>> {
  return {
    ...selector(identity),
    "gateway.networking.k8s.io/gateway-class-name": WAYPOINT_CLASS,
    [LABEL_MANAGED]: "istio.io-mesh-controller",
    "app.kubernetes.io/part-of": "ambit",
  };
}

function metadata(identity: WaypointIdentity): Manifest {
  return {
    labels: labels(identity),
    annotations: {},
    ownerReferences: [
      {
        apiVersion: "gateway.networking.k8s.io/v1",
        kind: "Gateway",
        name: identity.name,
        uid: identity.gatewayUid,
        controller: true,
      },
    ],
  };
}

function serviceSpec(identity: WaypointIdentity): Manifest {
  return {
    type: "ClusterIP",
    selector: selector(identity),
    ports: [
      { name: "status-port", port: READINESS_PORT, targetPort: READINESS_PORT, protocol: "TCP" },
      {
        name: "hbone",
        port: HBONE_PORT,
        targetPort: HBONE_PORT,
        protocol: "TCP",
        appProtocol: "hbone",
      },
    ],
  };
}

function deploymentSpec(identity: WaypointIdentity, image: WaypointImage): Manifest {
  return {
    // No `replicas`: there is one, until somebody scales it; and then no change of anything else takes that back.
    selector: { matchLabels: selector(identity) },
    // The new one is ready, and so listed to callers, before the old one goes.
    strategy: { type: "RollingUpdate", rollingUpdate: { maxSurge: 1, maxUnavailable: 0 } },
    template: {
      metadata: {
        labels: {
          ...labels(identity),
          // It speaks for itself: nothing captures it.
          "istio.io/dataplane-mode": "none",
          "service.istio.io/canonical-name": identity.name,
          "service.istio.io/canonical-revision": "latest",
        },
      },
      spec: podSpec(identity, image),
    },
  };
}

function podSpec(identity: WaypointIdentity, image: WaypointImage): Manifest {
  return {
    serviceAccountName: identity.name,
    automountServiceAccountToken: false,
    // A Service named "stats" would otherwise be a variable STATS_PORT.
    enableServiceLinks: false,
    terminationGracePeriodSeconds: TERMINATION_GRACE_SECONDS,
    securityContext: { runAsNonRoot: true, runAsUser: USER, runAsGroup: USER, fsGroup: USER },
    containers: [
      {
        name: "istio-proxy",
        image: image.image,
        imagePullPolicy: "IfNotPresent",
        ports: [
          { name: "hbone", containerPort: HBONE_PORT, protocol: "TCP" },
          { name: "metrics", containerPort: METRICS_PORT, protocol: "TCP" },
          { name: "status-port", containerPort: READINESS_PORT, protocol: "TCP" },
        ],
        env: environment(identity, image),
        readinessProbe: {
          httpGet: { path: "/healthz/ready", port: READINESS_PORT },
          periodSeconds: 1,
          failureThreshold: 3,
        },
        securityContext: {
          allowPrivilegeEscalation: false,
          privileged: false,
          readOnlyRootFilesystem: true,
          capabilities: { drop: ["ALL"] },
        },
        resources: { requests: { cpu: "100m", memory: "128Mi" } },
        volumeMounts: [
          { name: "istio-token", mountPath: "/var/run/secrets/tokens", readOnly: true },
          { name: "istiod-ca-cert", mountPath: "/var/run/secrets/istio", readOnly: true },
        ],
      },
    ],
    volumes: [
      {
        name: "istio-token",
        projected: {
          defaultMode: 0o400,
          sources: [
            {
              serviceAccountToken: {
                path: "istio-token",
                audience: TOKEN_AUDIENCE,
                expirationSeconds: 3_600,
              },
            },
          ],
        },
      },
      { name: "istiod-ca-cert", configMap: { name: ROOT_CERT_CONFIGMAP } },
    ],
  };
}

function environment(identity: WaypointIdentity, image: WaypointImage): readonly Manifest[] {
  const field = (name: string, fieldPath: string): Manifest => ({
    name,
    valueFrom: { fieldRef: { fieldPath } },
  });
  const fixed = {
    GATEWAY_NAME: identity.name,
    CLUSTER_ID: image.clusterId,
    NETWORK: image.network,
    TRUST_DOMAIN: image.trustDomain,
    TRUST_DOMAIN_ALIASES: image.trustDomainAliases.join(","),
    XDS_ADDRESS: image.controllerAddress,
    CA_ADDRESS: image.controllerAddress,
    TERMINATION_GRACE_PERIOD_SECONDS: String(TERMINATION_GRACE_SECONDS),
  };
  return [
    field("NODE_NAME", "spec.nodeName"),
    field("POD_NAME", "metadata.name"),
    field("POD_NAMESPACE", "metadata.namespace"),
    field("INSTANCE_IP", "status.podIP"),
    field("SERVICE_ACCOUNT", "spec.serviceAccountName"),
    ...Object.entries(fixed).flatMap(([name, value]) => (value === "" ? [] : [{ name, value }])),
  ];
}

function marked<T extends { readonly metadata: Manifest }>(manifest: T): Manifest {
  const digest = hash("sha256", JSON.stringify(manifest), "hex").slice(0, 16);
  return {
    ...manifest,
    metadata: { ...manifest.metadata, annotations: { [ANNOTATION_MADE_FROM]: digest } },
  };
}
