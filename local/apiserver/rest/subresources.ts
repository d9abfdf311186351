/** Subresources that are more than a view of the object: scale, binding, eviction, finalize, token. */
import { badRequest, conflict, invalidValue, methodNotAllowed, StatusError } from "../http/status-error.ts";
import { ISSUER } from "../auth/account-tokens.ts";
import {
  type ApiObject,
  clone,
  dig,
  digList,
  digNumber,
  digString,
  isRecord,
  type JsonMap,
  timestamp,
} from "../object.ts";
import type { ScalePaths } from "../registry/resource.ts";
import { boundTo } from "../registry/strategies/pods.ts";
import { jsonPath, simplePath } from "../view/json-path.ts";
import { admitEphemeralContainers } from "./connect.ts";
import type { RequestContext, RestDeps, Target } from "./context.ts";
import { deleteObject } from "./delete.ts";
import { modifyObject, readObject } from "./modify.ts";
import { patchFunction } from "./patch.ts";

export interface SubresourceRequest {
  readonly verb: string;
  readonly contentType: string;
  readonly body: unknown;
}

export interface Answer {
  readonly code: number;
  readonly body: JsonMap;
}

const SUCCESS: JsonMap = { kind: "Status", apiVersion: "v1", metadata: {}, status: "Success", code: 201 };

export async function handleSubresource(
  deps: RestDeps,
  target: Target,
  request: SubresourceRequest,
  context: RequestContext,
): Promise<Answer> {
  switch (target.subresource) {
    case "scale":
      return scale(deps, target, request, context);
    case "binding":
      return binding(deps, target, request, context);
    case "eviction":
      return eviction(deps, target, request, context);
    case "finalize":
      return finalize(deps, target, request, context);
    case "token":
      return token(deps, target, request, context);
    case "ephemeralcontainers":
      await admitEphemeralContainers(deps, target, request, context);
      break;
    default:
  }
  throw new StatusError(
    501,
    `${target.resource.plural}/${target.subresource} is not provided by this server`,
  );
}

const BUILTIN_SCALE: ScalePaths = {
  specReplicasPath: ".spec.replicas",
  statusReplicasPath: ".status.replicas",
  labelSelectorPath: undefined,
};

async function scale(
  deps: RestDeps,
  target: Target,
  request: SubresourceRequest,
  context: RequestContext,
): Promise<Answer> {
  const paths = target.resource.custom?.scale ?? BUILTIN_SCALE;
  if (request.verb === "get") return { code: 200, body: scaleOf(readObject(deps, target), paths) };
  const change =
    request.verb === "update"
      ? () => request.body
      : patchFunction(deps, target, request.contentType, request.body);
  const build = (live: ApiObject): ApiObject => {
    const wanted = change(scaleOf(live, paths));
    const replicas = digNumber(wanted, "spec", "replicas") ?? 0;
    if (replicas < 0) throw badRequest("spec.replicas: Invalid value: must be greater than or equal to 0");
    const next = clone(live);
    const pinned = request.verb === "update" ? digString(wanted, "metadata", "resourceVersion") : undefined;
    if (pinned === undefined) delete next.metadata.resourceVersion;
    else next.metadata.resourceVersion = pinned;
    setAt(next, simplePath(paths.specReplicasPath), replicas);
    return next;
  };
  const whole = { ...target, subresource: "" };
  const object = await modifyObject(deps, whole, { build, operation: "Update", retry: true }, context);
  return { code: 200, body: scaleOf(object, paths) };
}

function setAt(root: ApiObject, path: readonly string[], value: unknown): void {
  let node: JsonMap = root;
  for (const field of path.slice(0, -1)) {
    if (!isRecord(node[field])) node[field] = {};
    node = node[field] as JsonMap;
  }
  node[path.at(-1) ?? ""] = value;
}

function scaleOf(object: ApiObject, paths: ScalePaths): JsonMap {
  const { name, namespace, uid, resourceVersion, creationTimestamp } = object.metadata;
  const labels = Object.entries(
    (dig(object.spec, "selector", "matchLabels") ?? {}) as Record<string, string>,
  );
  const selector =
    paths.labelSelectorPath === undefined
      ? labels.map(([key, value]) => `${key}=${value}`).join(",")
      : jsonPath(object, paths.labelSelectorPath);
  return {
    kind: "Scale",
    apiVersion: "autoscaling/v1",
    metadata: { name, namespace, uid, resourceVersion, creationTimestamp },
    spec: { replicas: jsonPath(object, paths.specReplicasPath) ?? 0 },
    status: {
      replicas: jsonPath(object, paths.statusReplicasPath) ?? 0,
      ...(selector === "" ? {} : { selector }),
    },
  };
}

async function binding(
  deps: RestDeps,
  target: Target,
  request: SubresourceRequest,
  context: RequestContext,
): Promise<Answer> {
  if (request.verb !== "create") throw methodNotAllowed();
  const node = digString(request.body, "target", "name");
  if (node === undefined || node === "") throw badRequest("target.name: Required value: the node to bind to");
  const now = timestamp(deps.clock.nowMs());
  const build = (live: ApiObject): ApiObject => {
    const current = digString(live.spec, "nodeName") ?? "";
    if (live.metadata.deletionTimestamp !== undefined)
      throw conflict(
        target.resource,
        target.name,
        `pod ${target.name} is being deleted, cannot be assigned to a host`,
      );
    if (current !== "")
      throw conflict(
        target.resource,
        target.name,
        `pod ${target.name} is already assigned to node "${current}"`,
      );
    return boundTo(live, node, now);
  };
  await modifyObject(deps, target, { build, operation: "Update", retry: true, trusted: true }, context);
  return { code: 201, body: SUCCESS };
}

async function eviction(
  deps: RestDeps,
  target: Target,
  request: SubresourceRequest,
  context: RequestContext,
): Promise<Answer> {
  if (request.verb !== "create") throw methodNotAllowed();
  const options = dig(request.body, "deleteOptions");
  await deleteObject(deps, { ...target, subresource: "" }, isRecord(options) ? options : {}, context);
  return { code: 201, body: SUCCESS };
}

/** Only the finalizers of a namespace's spec; the last one gone, a deleted namespace goes. */
async function finalize(
  deps: RestDeps,
  target: Target,
  request: SubresourceRequest,
  context: RequestContext,
): Promise<Answer> {
  if (request.verb !== "update") throw methodNotAllowed();
  const finalizers = digList(request.body, "spec", "finalizers");
  const build = (live: ApiObject): ApiObject => ({
    ...clone(live),
    spec: finalizers.length === 0 ? {} : { finalizers: [...finalizers] },
  });
  const object = await modifyObject(
    deps,
    target,
    { build, operation: "Update", retry: true, trusted: true },
    context,
  );
  return { code: 200, body: object };
}

const MIN_SECONDS = 600;
const DEFAULT_SECONDS = 3600;
const MAX_SECONDS = 2 ** 32;

/** TokenRequest: bound to a pod or secret that exists with that uid, and a pod only with its own account. */
async function token(
  deps: RestDeps,
  target: Target,
  request: SubresourceRequest,
  context: RequestContext,
): Promise<Answer> {
  if (request.verb !== "create") throw methodNotAllowed();
  const account = readObject(deps, target);
  const spec = dig(request.body, "spec");
  const seconds = digNumber(spec, "expirationSeconds") ?? DEFAULT_SECONDS;
  if (seconds < MIN_SECONDS || seconds > MAX_SECONDS) {
    const why =
      seconds < MIN_SECONDS
        ? "may not specify a duration less than 10 minutes"
        : "may not specify a duration larger than 2^32 seconds";
    throw invalidTokenRequest("spec.expirationSeconds", seconds, why);
  }
  const audiences = digList(spec, "audiences").filter((item) => typeof item === "string");
  const wanted = audiences.length === 0 ? [ISSUER] : audiences;
  const bound = boundObject(deps, target, dig(spec, "boundObjectRef"));
  const asObject = {
    ...(request.body as object),
    apiVersion: "authentication.k8s.io/v1",
    kind: "TokenRequest",
    metadata: { name: target.name, namespace: target.namespace },
  } as ApiObject;
  await deps.admission.validate({ operation: "CREATE", target, object: asObject, old: undefined, context });
  const issued = deps.tokens.issue({ account, ...bound }, wanted, seconds);
  const body = {
    kind: "TokenRequest",
    apiVersion: "authentication.k8s.io/v1",
    metadata: {
      name: target.name,
      namespace: target.namespace,
      creationTimestamp: timestamp(deps.clock.nowMs()),
    },
    spec: { ...(isRecord(spec) ? spec : {}), audiences: wanted, expirationSeconds: seconds },
    status: { token: issued.token, expirationTimestamp: timestamp(issued.expiresMs) },
  };
  return { code: 201, body };
}

function invalidTokenRequest(field: string, value: unknown, why: string): StatusError {
  const problem = invalidValue(field, value, why);
  return new StatusError(
    422,
    `TokenRequest.authentication.k8s.io "" is invalid: ${field}: ${problem.message}`,
    {
      details: { group: "authentication.k8s.io", kind: "TokenRequest", causes: [problem] },
    },
  );
}

function boundObject(
  deps: RestDeps,
  target: Target,
  reference: unknown,
): { pod: ApiObject | undefined; secret: ApiObject | undefined } {
  if (!isRecord(reference)) return { pod: undefined, secret: undefined };
  const kind = digString(reference, "kind") ?? "";
  const name = digString(reference, "name") ?? "";
  const table = BINDABLE.get(kind);
  if (table === undefined) {
    throw invalidTokenRequest("spec.boundObjectRef.kind", kind, "bound object is of an unsupported kind");
  }
  const object = deps.store.get(table, `${target.namespace}/${name}`);
  if (object === undefined)
    throw new StatusError(404, `${table} "${name}" not found`, { details: { name, kind: table } });
  const uid = digString(reference, "uid") ?? "";
  if (uid !== "" && uid !== object.metadata.uid) {
    const why = `the UID in the bound object reference (${uid}) does not match the UID in record. The object might have been deleted and then recreated`;
    throw conflict(deps.registry.byId(table) ?? target.resource, name, why);
  }
  if (table === "secrets") return { pod: undefined, secret: object };
  if (digString(object.spec, "serviceAccountName") === target.name) return { pod: object, secret: undefined };
  throw badRequest(
    `cannot bind token for serviceaccount "${target.name}" to pod running with different serviceaccount name.`,
  );
}

const BINDABLE = new Map([
  ["Pod", "pods"],
  ["Secret", "secrets"],
]);
