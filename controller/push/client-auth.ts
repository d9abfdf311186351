/** Pure. May this authenticated caller be the xDS client that it says it is? Node-scoped answers depend on it. */
import type { Caller } from "../ca/caller-identity.ts";
import type { ClientNode } from "./node-id.ts";

export type ClientVerdict =
  | { readonly kind: "accepted" }
  | { readonly kind: "refused"; readonly why: string };

/** `trustedNodeAccounts`: `namespace/account` of ztunnels. */
export function checkClient(
  caller: Caller,
  client: ClientNode,
  trustedNodeAccounts: readonly string[],
): ClientVerdict {
  const account = `${caller.namespace}/${caller.serviceAccount}`;
  // Any namespace owner can mint tokens: a type is granted to known accounts, never to whoever asks.
  if (client.type === "waypoint") return refused("the controller has made no waypoint with this pod");
  if (!trustedNodeAccounts.includes(account)) return refused(`${account} may not be a ztunnel`);
  if (client.namespace !== caller.namespace) return refused("metadata NAMESPACE differs from the token");
  if (client.serviceAccount !== "" && client.serviceAccount !== caller.serviceAccount) {
    return refused("metadata SERVICE_ACCOUNT differs from the token");
  }
  return client.nodeName === caller.nodeName
    ? { kind: "accepted" }
    : refused(`metadata NODE_NAME is not ${caller.nodeName}, where the pod runs`);
}

function refused(why: string): ClientVerdict {
  return { kind: "refused", why };
}
