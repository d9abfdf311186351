/** Pure. The first message of an xDS stream: who the client says it is. Checked against the token by `client-auth.ts`. */
import { type Parsed, parsed, problem } from "#core/base/parse-result.ts";
import type { XdsNode } from "#core/wire/xds-codec.ts";

export type ClientType = "ztunnel" | "waypoint";

export interface ClientNode {
  readonly type: ClientType;
  /** `name.namespace`, as shown by `proxy-status`. */
  readonly id: string;
  readonly namespace: string;
  readonly serviceAccount: string;
  readonly nodeName: string;
  readonly version: string;
}

/** `ztunnel~<ip>~<pod>.<namespace>~<namespace>.svc.cluster.local`, metadata NAMESPACE and NODE_NAME. */
export function parseClientNode(node: XdsNode | undefined): Parsed<ClientNode> {
  if (node === undefined) return problem("node", "is missing from the first request");
  const parts = node.id.split("~");
  const [type = "", , id = ""] = parts;
  if (parts.length !== 4 || id === "") return problem("node.id", "does not have four parts");
  if (type !== "ztunnel" && type !== "waypoint")
    return problem("node.id", `type ${type.slice(0, 32)} is unknown`);
  const text = (key: string): string => {
    const value = node.metadata[key];
    return typeof value === "string" ? value : "";
  };
  const [, namespaceOfId = ""] = id.split(".");
  return parsed({
    type,
    id,
    namespace: text("NAMESPACE") || namespaceOfId,
    serviceAccount: text("SERVICE_ACCOUNT"),
    nodeName: text("NODE_NAME"),
    version: text("AMBIT_VERSION") || text("ISTIO_VERSION") || node.buildVersion,
  });
}
