/** New pods get their service account, the account's token volume, a priority and the two default tolerations. */
import { randomInt } from "node:crypto";
import type { V1Pod, V1PodSpec, V1ServiceAccount, V1Volume } from "@kubernetes/client-node";
import { forbidden } from "../http/status-error.ts";
import { type ApiObject, clone } from "../object.ts";
import { fillIn } from "../registry/fill-in.ts";
import type { AdmissionRequest } from "../rest/context.ts";
import type { ObjectStore } from "../store/object-store.ts";

const MOUNT_PATH = "/var/run/secrets/kubernetes.io/serviceaccount";
const MIRROR = "kubernetes.io/config.mirror";
const TOKEN_SECONDS = 3607;
const FILE_MODE = 0o644;
const SUFFIX_CHARACTERS = "bcdfghjklmnpqrstvwxz2456789";
const PRIORITIES: Readonly<Record<string, number>> = {
  "system-node-critical": 2_000_001_000,
  "system-cluster-critical": 2_000_000_000,
};

/** The changed copy of a new pod; undefined for every other request. */
export function admitPod(store: ObjectStore, request: AdmissionRequest): ApiObject | undefined {
  const { target, operation, object } = request;
  if (
    target.resource.id !== "pods" ||
    target.subresource !== "" ||
    operation !== "CREATE" ||
    object === undefined
  )
    return undefined;
  const next = clone(object);
  const { spec } = next as unknown as V1Pod;
  if (spec === undefined) return next;
  spec.preemptionPolicy ??= "PreemptLowerPriority";
  spec.priority ??= PRIORITIES[spec.priorityClassName ?? ""] ?? 0;
  addTolerations(spec);
  if (object.metadata.annotations?.[MIRROR] === undefined) useAccount(store, request, spec);
  return next;
}

function addTolerations(spec: V1PodSpec): void {
  spec.tolerations ??= [];
  for (const key of ["node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"]) {
    const tolerated = spec.tolerations.some(
      (own) => (own.key === key || own.key === undefined) && (own.effect ?? "NoExecute") === "NoExecute",
    );
    if (!tolerated)
      spec.tolerations.push({ key, operator: "Exists", effect: "NoExecute", tolerationSeconds: 300 });
  }
}

function useAccount(store: ObjectStore, request: AdmissionRequest, spec: V1PodSpec): void {
  const { namespace, resource, name } = request.target;
  const wanted = spec.serviceAccountName ?? "default";
  Object.assign(spec, { serviceAccountName: wanted, serviceAccount: wanted });
  const account = store.get("serviceaccounts", `${namespace}/${wanted}`) as unknown as
    | V1ServiceAccount
    | undefined;
  if (account === undefined) {
    const why = `error looking up service account ${namespace}/${wanted}: serviceaccount "${wanted}" not found`;
    throw forbidden(resource, name, why);
  }
  const { imagePullSecrets = [], automountServiceAccountToken = true } = account;
  if (imagePullSecrets.length > 0) fillIn(spec, { imagePullSecrets: [...imagePullSecrets] });
  if (spec.automountServiceAccountToken ?? automountServiceAccountToken) mountToken(spec);
}

function mountToken(spec: V1PodSpec): void {
  const existing = (spec.volumes ?? []).find((volume) => volume.name.startsWith("kube-api-access-"))?.name;
  const suffix = Array.from({ length: 5 }, () => SUFFIX_CHARACTERS[randomInt(SUFFIX_CHARACTERS.length)]).join(
    "",
  );
  const name = existing ?? `kube-api-access-${suffix}`;
  let used = false;
  for (const container of [...(spec.initContainers ?? []), ...spec.containers]) {
    if ((container.volumeMounts ?? []).some((mount) => mount.mountPath === MOUNT_PATH)) continue;
    container.volumeMounts = [
      ...(container.volumeMounts ?? []),
      { name, readOnly: true, mountPath: MOUNT_PATH },
    ];
    used = true;
  }
  if (used && existing === undefined) spec.volumes = [...(spec.volumes ?? []), tokenVolume(name)];
}

function tokenVolume(name: string): V1Volume {
  return {
    name,
    projected: {
      defaultMode: FILE_MODE,
      sources: [
        { serviceAccountToken: { expirationSeconds: TOKEN_SECONDS, path: "token" } },
        { configMap: { name: "kube-root-ca.crt", items: [{ key: "ca.crt", path: "ca.crt" }] } },
        {
          downwardAPI: {
            items: [{ path: "namespace", fieldRef: { apiVersion: "v1", fieldPath: "metadata.namespace" } }],
          },
        },
      ],
    },
  };
}
