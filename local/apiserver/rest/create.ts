/** POST: a new object. */
import { randomInt, randomUUID } from "node:crypto";
import { trackUpdate } from "../apply/managed-fields.ts";
import { alreadyExists, forbidden, invalid, StatusError } from "../http/status-error.ts";
import { type ApiObject, timestamp } from "../object.ts";
import { apiVersionOf, keyOf } from "../registry/resource.ts";
import { strategyOf } from "../registry/strategies.ts";
import { applyDefaults } from "../schema/default-values.ts";
import type { RequestContext, RestDeps, Target } from "./context.ts";
import { decode } from "./decode.ts";
import { validateObject } from "./validate-object.ts";

const SUFFIX_CHARACTERS = "bcdfghjklmnpqrstvwxz2456789";
const SUFFIX_LENGTH = 5;
const LONGEST_BASE = 58;

/** Stores the body as a new object. `applied` objects carry the managed fields that apply computed. */
export async function createObject(
  deps: RestDeps,
  target: Target,
  body: unknown,
  context: RequestContext & { readonly applied?: boolean },
): Promise<ApiObject> {
  const { resource, namespace } = target;
  const decoded = decode(deps, target, body, context);
  if (decoded.metadata.resourceVersion !== undefined) {
    throw new StatusError(400, "resourceVersion should not be set on objects to be created");
  }
  prepare(deps, target, decoded, context);
  if (resource.custom !== undefined) applyDefaults(decoded, resource.custom.schema); // of a status that nobody has written and nobody owns
  const strategy = strategyOf(resource.id);
  const request = {
    operation: "CREATE" as const,
    target: { ...target, name: decoded.metadata.name },
    old: undefined,
    context,
  };
  checkNamespace(deps, target, decoded);
  const object = deps.admission.mutate({ ...request, object: decoded }) ?? decoded;
  strategy.defaults?.(object); // again: what admission added has defaults too
  validateObject(deps, resource, object, undefined);
  await deps.admission.validate({ ...request, object });
  const key = keyOf(resource, namespace, object.metadata.name);
  if (deps.store.get(resource.id, key) !== undefined) throw alreadyExists(resource, object.metadata.name);
  const problems = strategy.allocate?.(object, undefined, deps.strategy) ?? [];
  if (problems.length > 0) throw invalid(resource, object.metadata.name, problems);
  return context.dryRun ? object : deps.store.put(resource.id, key, object);
}

function prepare(
  deps: RestDeps,
  target: Target,
  object: ApiObject,
  context: RequestContext & { readonly applied?: boolean },
): void {
  const { resource } = target;
  const applied = context.applied === true;
  startMetadata(deps, target, object, applied);
  const strategy = strategyOf(resource.id);
  if (resource.subresources.includes("status")) delete object.status;
  strategy.onCreate?.(object);
  strategy.defaults?.(object);
  if (applied) return;
  // before admission: what it adds (token volume, tolerations) belongs to nobody, or a later apply would remove it again
  const by = {
    manager: context.manager,
    apiVersion: apiVersionOf(resource),
    now: timestamp(deps.clock.nowMs()),
  };
  trackUpdate(undefined, object, deps.registry.schema(resource), by);
}

function startMetadata(deps: RestDeps, target: Target, object: ApiObject, applied: boolean): void {
  const { metadata } = object;
  const base = metadata.generateName ?? "";
  if ((metadata.name ?? "") === "" && base !== "") {
    const suffix = Array.from(
      { length: SUFFIX_LENGTH },
      () => SUFFIX_CHARACTERS[randomInt(SUFFIX_CHARACTERS.length)],
    );
    metadata.name = base.slice(0, LONGEST_BASE) + suffix.join("");
  }
  metadata.uid = randomUUID();
  metadata.creationTimestamp = timestamp(deps.clock.nowMs());
  if (target.resource.hasGeneration) metadata.generation = 1;
  else delete metadata.generation;
  delete metadata.deletionTimestamp;
  delete metadata.deletionGracePeriodSeconds;
  delete metadata.selfLink;
  if (!applied) delete metadata.managedFields;
}

/** A namespace must exist and not be on its way out. */
function checkNamespace(deps: RestDeps, target: Target, object: ApiObject): void {
  const { resource, namespace } = target;
  if (!resource.namespaced) return;
  const owner = deps.store.get("namespaces", namespace);
  if (owner === undefined) {
    throw new StatusError(404, `namespaces "${namespace}" not found`, {
      details: { name: namespace, kind: "namespaces" },
    });
  }
  if (owner.metadata.deletionTimestamp === undefined) return;
  const why = `unable to create new content in namespace ${namespace} because it is being terminated`;
  throw forbidden(resource, object.metadata.name, why, [
    {
      reason: "NamespaceTerminating",
      message: `namespace ${namespace} is being terminated`,
      field: "metadata.namespace",
    },
  ]);
}
