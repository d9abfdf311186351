/** PATCH in its four formats, by content type. */
import { applyConfiguration } from "../apply/server-side-apply.ts";
import { badRequest, conflict, forbidden, notFound, required, StatusError } from "../http/status-error.ts";
import { type ApiObject, digString, isRecord, timestamp } from "../object.ts";
import { jsonPatch } from "../patch/json-patch.ts";
import { mergePatch } from "../patch/merge-patch.ts";
import { strategicMerge } from "../patch/strategic-merge.ts";
import { apiVersionOf, keyOf } from "../registry/resource.ts";
import type { RequestContext, RestDeps, Target } from "./context.ts";
import { createObject } from "./create.ts";
import { decode } from "./decode.ts";
import { modifyObject } from "./modify.ts";

export const APPLY_TYPE = "application/apply-patch+yaml";
const JSON_PATCH = "application/json-patch+json";
const MERGE_PATCH = "application/merge-patch+json";
const STRATEGIC = "application/strategic-merge-patch+json";

export interface PatchResult {
  readonly object: ApiObject;
  readonly created: boolean;
}

export async function patchObject(
  deps: RestDeps,
  target: Target,
  patch: { readonly contentType: string; readonly body: unknown },
  context: RequestContext,
): Promise<PatchResult> {
  const { contentType, body } = patch;
  if (contentType === APPLY_TYPE) return applyPatch(deps, target, body, context);
  const build = patchFunction(deps, target, contentType, body);
  const object = await modifyObject(deps, target, { build, operation: "Update", retry: true }, context);
  return { object, created: false };
}

/** How a patch of this type changes a document; throws 415 for a type the kind does not take. */
export function patchFunction(
  deps: RestDeps,
  target: Target,
  contentType: string,
  body: unknown,
): (live: unknown) => unknown {
  if (contentType === JSON_PATCH) return (live) => jsonPatch(live, body);
  if (contentType === MERGE_PATCH) return (live) => mergePatch(live, body);
  if (contentType === STRATEGIC && target.resource.custom === undefined) {
    const schema = deps.registry.schema(target.resource);
    return (live) => strategicMerge(live, body, schema);
  }
  const accepted = [JSON_PATCH, MERGE_PATCH, APPLY_TYPE].join(", ");
  throw new StatusError(
    415,
    `the body of the request was in an unknown format - accepted media types include: ${accepted}`,
  );
}

async function applyPatch(
  deps: RestDeps,
  target: Target,
  body: unknown,
  context: RequestContext,
): Promise<PatchResult> {
  const config = checkApply(target, body, context);
  const { resource, namespace, name, subresource } = target;
  const exists = deps.store.get(resource.id, keyOf(resource, namespace, name)) !== undefined;
  const wanted = ownPart(deps, target, config, context);
  const request = {
    resource,
    schema: deps.registry.schema(resource),
    writer: {
      manager: context.manager,
      apiVersion: apiVersionOf(resource),
      subresource: subresource || undefined,
    },
    force: context.force,
    now: timestamp(deps.clock.nowMs()),
  };
  const { resourceVersion, uid } = wanted.metadata;
  if (!exists) {
    if (subresource !== "") throw notFound(resource, name);
    if (uid !== undefined || resourceVersion !== undefined)
      throw conflict(resource, name, "the object does not exist");
    requireCreate(deps, target, context);
    const object = applyConfiguration(undefined, wanted, request);
    return { object: await createObject(deps, target, object, { ...context, applied: true }), created: true };
  }
  const build = (live: ApiObject): ApiObject => {
    const merged = applyConfiguration(live, wanted, request);
    if (resourceVersion === undefined) delete merged.metadata.resourceVersion;
    else merged.metadata.resourceVersion = resourceVersion;
    return merged;
  };
  const object = await modifyObject(
    deps,
    target,
    { build, operation: "Apply", retry: resourceVersion === undefined },
    context,
  );
  return { object, created: false };
}

/** The right to patch is not the right to bring something into being. */
function requireCreate(
  deps: RestDeps,
  { resource, namespace, name }: Target,
  { user }: RequestContext,
): void {
  const { group, plural } = resource;
  if (deps.rbac.allows(user, { verb: "create", group, resource: plural, namespace, name })) return;
  const where = namespace === "" ? "at the cluster scope" : `in the namespace "${namespace}"`;
  throw forbidden(
    resource,
    name,
    `User "${user.username}" cannot create resource "${plural}" in API group "${group}" ${where}`,
  );
}

function checkApply(target: Target, body: unknown, context: RequestContext): ApiObject {
  if (!context.managerGiven) {
    const problem = required("fieldManager", "is required for apply patch");
    throw new StatusError(422, `PatchOptions.meta.k8s.io "" is invalid: fieldManager: ${problem.message}`, {
      details: { group: "meta.k8s.io", kind: "PatchOptions", causes: [problem] },
    });
  }
  if (!isRecord(body)) throw badRequest("error decoding YAML: an apply configuration is an object");
  if (body["kind"] === undefined || body["apiVersion"] === undefined) {
    throw badRequest(
      `invalid object type: ${digString(body, "apiVersion") ?? "/"}, Kind=${digString(body, "kind") ?? ""}`,
    );
  }
  const metadata = isRecord(body["metadata"]) ? body["metadata"] : {};
  if (Array.isArray(metadata["managedFields"]) && metadata["managedFields"].length > 0)
    throw badRequest("metadata.managedFields must be nil");
  return { ...body, metadata: { name: target.name, ...metadata } } as unknown as ApiObject;
}

/** The configuration as an object of ours, without the part that this endpoint does not write. Defaults are not claimed. */
function ownPart(deps: RestDeps, target: Target, config: ApiObject, context: RequestContext): ApiObject {
  const { resource, subresource } = target;
  const clean = decode(deps, target, config, { ...context, withoutDefaults: true });
  if (!resource.subresources.includes("status")) return clean;
  if (subresource === "status") {
    const { spec: _spec, ...rest } = clean;
    return rest as ApiObject;
  }
  const { status: _status, ...rest } = clean;
  return rest as ApiObject;
}
