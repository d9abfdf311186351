/** A kubelet may write its own node, its own pods' status and deletion, and ask for tokens of its own pods: nothing else. */
import { nodeOf } from "../auth/user.ts";
import { forbidden } from "../http/status-error.ts";
import { type ApiObject, deepEqual, dig, digString } from "../object.ts";
import type { AdmissionRequest } from "../rest/context.ts";
import type { ObjectStore } from "../store/object-store.ts";

const MIRROR = "kubernetes.io/config.mirror";
const RESTRICTED_LABELS = "node-restriction.kubernetes.io/";

export function checkNodeRestriction(store: ObjectStore, request: AdmissionRequest): void {
  const node = nodeOf(request.context.user);
  if (node === undefined) return;
  const why = reason(store, request, node);
  if (why !== undefined)
    throw forbidden(request.target.resource, request.target.name, `node "${node}" ${why}`);
}

function reason(store: ObjectStore, request: AdmissionRequest, node: string): string | undefined {
  const { id } = request.target.resource;
  if (id === "nodes") return nodeReason(request, node);
  if (id === "pods") return podReason(request, node);
  if (id === "serviceaccounts" && request.target.subresource === "token")
    return tokenReason(store, request, node);
  if (id === "leases.coordination.k8s.io") {
    const own = request.target.namespace === "kube-node-lease" && request.target.name === node;
    return own ? undefined : "can only access node lease with the same name as the requesting node";
  }
  return undefined;
}

function nodeReason({ target, object, old }: AdmissionRequest, node: string): string | undefined {
  if (target.name !== node) return `is not allowed to modify node "${target.name}"`;
  const restricted = (of: ApiObject | undefined): unknown =>
    Object.fromEntries(
      Object.entries(of?.metadata.labels ?? {}).filter(([label]) => label.includes(RESTRICTED_LABELS)),
    );
  if (object !== undefined && !deepEqual(restricted(object), restricted(old)))
    return "is not allowed to modify labels with the node-restriction.kubernetes.io/ prefix";
  if (
    object !== undefined &&
    old !== undefined &&
    !deepEqual(dig(object.spec, "taints"), dig(old.spec, "taints"))
  )
    return "is not allowed to modify taints";
  return undefined;
}

function podReason(request: AdmissionRequest, node: string): string | undefined {
  const { target, operation, object, old } = request;
  const pod = old ?? object;
  if (digString(pod?.spec, "nodeName") !== node)
    return "can only act on pods with spec.nodeName set to itself";
  if (operation === "CREATE") return mirrorReason(object);
  if (operation === "DELETE") return undefined;
  if (target.subresource !== "status") return "can only update pod status";
  const same = deepEqual(dig(object, "metadata", "labels"), dig(old, "metadata", "labels"));
  return same ? undefined : "cannot update labels through pod status";
}

function mirrorReason(object: ApiObject | undefined): string | undefined {
  if (dig(object, "metadata", "annotations", MIRROR) === undefined) {
    return `pod does not have "${MIRROR}" annotation, node can only create mirror pods`;
  }
  const account = digString(object?.spec, "serviceAccountName");
  return account === undefined ? undefined : "can not create pods that reference a service account";
}

function tokenReason(
  store: ObjectStore,
  { target, object }: AdmissionRequest,
  node: string,
): string | undefined {
  const reference = dig(object?.spec, "boundObjectRef");
  if (digString(reference, "kind") !== "Pod") return "requested token not bound to a pod";
  if (digString(reference, "uid") === undefined) return "requested token with a pod binding without a uid";
  const pod = store.get("pods", `${target.namespace}/${digString(reference, "name") ?? ""}`);
  return digString(pod?.spec, "nodeName") === node
    ? undefined
    : "requested token bound to a pod scheduled on a different node";
}
