/** Pure. May this authenticated caller be the xDS client that it says it is? What it is answered depends on it. */
import type { PodObject } from "#core/k8s/object-types.ts";
import type { Caller } from "../ca/caller-identity.ts";
import type { WaypointPods } from "../waypoints/gateway/waypoint-pods.ts";
import type { ClientNode } from "./node-id.ts";

export type ClientVerdict =
  | {
      readonly kind: "accepted";
      /** `namespace/gateway` of a waypoint: the one configuration that it may have. */
      readonly waypoint: string | undefined;
    }
  /** `retry`: the informers have not (yet) seen what would speak for it. */
  | { readonly kind: "refused"; readonly why: string; readonly retry: boolean };

export interface ClientFacts {
  /** `namespace/account` of ztunnels. */
  readonly trustedNodeAccounts: readonly string[];
  readonly waypoints: WaypointPods;
  pod(namespace: string, name: string): PodObject | undefined;
}

/** Any namespace owner can mint tokens: a type is granted to known accounts and recorded pods, never to whoever asks. */
export function checkClient(caller: Caller, client: ClientNode, facts: ClientFacts): ClientVerdict {
  const role = client.type === "waypoint" ? waypointRole(caller, facts) : ztunnelRole(caller, facts);
  if (role.kind === "refused") return role;
  if (client.namespace !== caller.namespace) return refused("metadata NAMESPACE differs from the token");
  if (client.serviceAccount !== "" && client.serviceAccount !== caller.serviceAccount) {
    return refused("metadata SERVICE_ACCOUNT differs from the token");
  }
  return client.nodeName === caller.nodeName
    ? role
    : refused(`metadata NODE_NAME is not ${caller.nodeName}, where the pod runs`);
}

function ztunnelRole(caller: Caller, { trustedNodeAccounts }: ClientFacts): ClientVerdict {
  const account = `${caller.namespace}/${caller.serviceAccount}`;
  return trustedNodeAccounts.includes(account)
    ? { kind: "accepted", waypoint: undefined }
    : refused(`${account} may not be a ztunnel`);
}

/** A waypoint that is being deleted still serves, and is to hear of policies until its end. */
function waypointRole(caller: Caller, { pod: podOf, waypoints }: ClientFacts): ClientVerdict {
  const pod = podOf(caller.namespace, caller.podName);
  if (pod === undefined || pod.metadata.uid !== caller.podUid) return refused("the caller's pod is gone");
  const standing = waypoints.standingOf(pod);
  if (standing.kind === "waypoint") {
    return { kind: "accepted", waypoint: `${caller.namespace}/${standing.gateway}` };
  }
  return refused(
    `the controller has made no waypoint with this pod: ${standing.why}`,
    standing.kind === "not-seen",
  );
}

function refused(why: string, retry = false): ClientVerdict {
  return { kind: "refused", why, retry };
}
