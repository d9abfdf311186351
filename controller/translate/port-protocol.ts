/** Pure. What is spoken at a service port: `appProtocol`, else the port name's part before the first dash. */
import type { ServicePortSpec } from "#core/k8s/object-types.ts";
import type { AppProtocol } from "#core/model/service.ts";

const BY_APP_PROTOCOL: Readonly<Record<string, AppProtocol>> = {
  "kubernetes.io/h2c": "http2",
  "kubernetes.io/ws": "http11",
  "kubernetes.io/wss": "tls",
};

const BY_NAME: Readonly<Record<string, AppProtocol>> = {
  http: "http11",
  "http/1.1": "http11",
  http2: "http2",
  h2c: "http2",
  grpc: "grpc",
  "grpc-web": "http11",
  https: "tls",
  tls: "tls",
  tcp: "tcp",
  mongo: "tcp",
  mysql: "tcp",
  redis: "tcp",
};

export function appProtocolOf(port: Pick<ServicePortSpec, "name" | "appProtocol">): AppProtocol {
  const declared = port.appProtocol.toLowerCase();
  if (declared !== "") return BY_APP_PROTOCOL[declared] ?? BY_NAME[declared] ?? "unknown";
  const name = port.name.toLowerCase();
  if (name === "grpc-web" || name.startsWith("grpc-web-")) return "http11";
  return BY_NAME[name.split("-")[0] ?? ""] ?? "unknown";
}
