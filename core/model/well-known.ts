/** Pure. Ports, labels, annotations and names that the mesh's users and peers rely on. */

export const OUTBOUND_PORT = 15_001;
export const INBOUND_PLAINTEXT_PORT = 15_006;
export const HBONE_PORT = 15_008;
export const ADMIN_PORT = 15_000;
export const METRICS_PORT = 15_020;
export const READINESS_PORT = 15_021;
export const XDS_PORT = 15_012;
export const CONTROLLER_METRICS_PORT = 15_014;
/** Readiness and `/debug/*` of the controller. */
export const CONTROLLER_DEBUG_PORT = 8_080;
/** The node agent's admin port, on the loopback of its node (it runs with the node's network). */
export const AGENT_ADMIN_PORT = 15_030;

/** Ports inside a pod's namespace that belong to ztunnel; never dialled on behalf of anyone. */
export const ZTUNNEL_OWN_PORTS: ReadonlySet<number> = new Set([
  OUTBOUND_PORT,
  INBOUND_PLAINTEXT_PORT,
  HBONE_PORT,
]);

/** SO_MARK of every socket that ztunnel makes. */
export const ZTUNNEL_MARK = 0x539;

export const SYSTEM_NAMESPACE = "istio-system";
export const DEFAULT_TRUST_DOMAIN = "cluster.local";
export const DEFAULT_CLUSTER_ID = "Kubernetes";
export const TOKEN_AUDIENCE = "istio-ca";
export const ROOT_CERT_CONFIGMAP = "istio-ca-root-cert";

export const LABEL_DATAPLANE_MODE = "istio.io/dataplane-mode";
export const LABEL_USE_WAYPOINT = "istio.io/use-waypoint";
export const LABEL_CANONICAL_NAME = "service.istio.io/canonical-name";
export const LABEL_CANONICAL_REVISION = "service.istio.io/canonical-revision";
export const ANNOTATION_REDIRECTION = "ambient.istio.io/redirection";
export const ANNOTATION_SIDECAR_STATUS = "sidecar.istio.io/status";
export const ANNOTATION_MIRROR_POD = "kubernetes.io/config.mirror";

export const TYPE_URL_ADDRESS = "type.googleapis.com/istio.workload.Address";
export const TYPE_URL_AUTHORIZATION = "type.googleapis.com/istio.security.Authorization";
