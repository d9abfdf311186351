/** A request for a resource, already authenticated and authorised: which verb runs, and in which form its result goes out. */
import type { IncomingMessage, ServerResponse } from "node:http";
import type { KubeletConnector } from "../apiserver-options.ts";
import type { UserInfo } from "../auth/user.ts";
import { type ApiObject, digList, isRecord, type JsonMap } from "../object.ts";
import { apiVersionOf, type Resource } from "../registry/resource.ts";
import { admitConnect } from "../rest/connect.ts";
import type { RequestContext, RestDeps, Target } from "../rest/context.ts";
import { createObject } from "../rest/create.ts";
import { deleteObject } from "../rest/delete.ts";
import { listObjects, matchingEntries } from "../rest/list.ts";
import { inVersion, readObject, updateObject } from "../rest/modify.ts";
import { patchObject } from "../rest/patch.ts";
import { answerReview } from "../rest/reviews.ts";
import { fieldSelector, labelSelector, type Match } from "../rest/selectors.ts";
import { handleSubresource } from "../rest/subresources.ts";
import type { Page } from "../store/page-snapshots.ts";
import { makeTable, partialMetadata } from "../view/table.ts";
import type { AnswerWriter } from "./answer.ts";
import { kubeletTarget, proxyLog } from "./kubelet-proxy.ts";
import { type AnswerForm, negotiate } from "./negotiate.ts";
import { decodeBody, mediaType, readBody } from "./read-body.ts";
import { isTrue } from "./request-info.ts";
import { badRequest, methodNotAllowed, StatusError } from "./status-error.ts";
import { storedJson, streamWatch } from "./watch-stream.ts";

export interface ResourceCall {
  readonly target: Target;
  readonly verb: string;
  readonly query: URLSearchParams;
  readonly user: UserInfo;
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly answer: AnswerWriter;
}

const OBJECT_SUBRESOURCES = new Set(["", "status"]);
const STREAMS = new Set(["exec", "attach", "portforward"]);

export async function handleResource(
  deps: RestDeps,
  call: ResourceCall,
  kubelets: KubeletConnector | undefined,
): Promise<void> {
  const { target, verb, answer } = call;
  if (verb === "list") return answerList(deps, call);
  if (verb === "watch") return startWatch(deps, call);
  if (target.subresource === "log")
    return proxyLog(kubeletTarget(deps, target, call.query, kubelets), call.response);
  if (STREAMS.has(target.subresource)) {
    await admitConnect(deps, target, call.user, call.query);
    const how =
      target.subresource === "attach"
        ? "not provided"
        : "provided as a WebSocket only (kubectl 1.31 or later)";
    throw new StatusError(501, `${target.subresource} is ${how}`);
  }
  const form = negotiate(call.request.headers.accept);
  if (verb === "get" && OBJECT_SUBRESOURCES.has(target.subresource)) {
    return answerObject(deps, call, form, { code: 200, object: readObject(deps, target) });
  }
  const contentType = mediaType(call.request.headers["content-type"]);
  const body = decodeBody(await readBody(call.request), contentType);
  const context = contextOf(call, body);
  if (target.resource.review) return answer.json(201, answerReview(deps, target, body, context));
  if (!OBJECT_SUBRESOURCES.has(target.subresource)) {
    const result = await handleSubresource(deps, target, { verb, contentType, body }, context);
    return answer.json(result.code, result.body);
  }
  return write(deps, call, { form, contentType, body, context });
}

interface WriteRequest {
  readonly form: AnswerForm;
  readonly contentType: string;
  readonly body: unknown;
  readonly context: RequestContext;
}

async function write(
  deps: RestDeps,
  call: ResourceCall,
  { form, contentType, body, context }: WriteRequest,
): Promise<void> {
  const { target } = call;
  switch (call.verb) {
    case "create":
      if (target.name !== "") throw methodNotAllowed();
      return answerObject(deps, call, form, {
        code: 201,
        object: await createObject(deps, target, body, context),
      });
    case "update":
      return answerObject(deps, call, form, {
        code: 200,
        object: await updateObject(deps, target, body, context),
      });
    case "patch": {
      const { object, created } = await patchObject(deps, target, { contentType, body }, context);
      return answerObject(deps, call, form, { code: created ? 201 : 200, object });
    }
    case "delete":
      return answerDelete(deps, call, form, { options: deleteOptions(call.query, body), context });
    case "deletecollection":
      return deleteCollection(deps, call, { options: deleteOptions(call.query, body), context });
    default:
      throw methodNotAllowed();
  }
}

function contextOf(call: ResourceCall, body: unknown): RequestContext {
  const { query, user, answer, request } = call;
  const manager = query.get("fieldManager") ?? "";
  const [agent = "unknown"] = (request.headers["user-agent"] ?? "unknown").split("/");
  return {
    user,
    manager: (manager === "" ? agent : manager).slice(0, 128),
    managerGiven: manager !== "",
    dryRun: isDryRun(query, body),
    fieldValidation: validationOf(query.get("fieldValidation") ?? ""),
    force: isTrue(query.get("force")),
    options: call.verb === "delete" ? deleteOptions(query, body) : {},
    warn: (text) => void answer.warnings.push(text),
  };
}

/** Of the query, or of the DeleteOptions in the body. */
function isDryRun(query: URLSearchParams, body: unknown): boolean {
  const given = query.getAll("dryRun").at(-1) ?? digList(body, "dryRun")[0] ?? "";
  if (given !== "" && given !== "All")
    throw badRequest(`Invalid value: ${JSON.stringify(given)}: supported values: "All"`);
  return given === "All";
}

function validationOf(text: string): RequestContext["fieldValidation"] {
  if (text === "" || text === "Warn") return "Warn";
  if (text === "Strict" || text === "Ignore") return text;
  throw badRequest(`Invalid value: ${JSON.stringify(text)}: fieldValidation must be Strict, Warn or Ignore`);
}

function deleteOptions(query: URLSearchParams, body: unknown): JsonMap {
  const options: JsonMap = isRecord(body) ? { ...body } : {};
  if (query.has("propagationPolicy")) options["propagationPolicy"] = query.get("propagationPolicy");
  if (query.has("orphanDependents")) options["orphanDependents"] = isTrue(query.get("orphanDependents"));
  if (query.has("gracePeriodSeconds"))
    options["gracePeriodSeconds"] = Number(query.get("gracePeriodSeconds"));
  return options;
}

function answerObject(
  deps: RestDeps,
  call: ResourceCall,
  form: AnswerForm,
  result: { code: number; object: ApiObject },
): void {
  const { resource } = call.target;
  const object = inVersion(resource, result.object);
  if (resource.custom?.deprecationWarning !== undefined)
    call.answer.warnings.push(resource.custom.deprecationWarning);
  if (form === "partial") return call.answer.json(result.code, partialMetadata(object));
  if (form !== "table") return call.answer.json(result.code, object);
  const metadata = { resourceVersion: object.metadata.resourceVersion };
  call.answer.json(result.code, makeTable(resource, [object], tableOptions(deps, call.query, metadata)));
}

function tableOptions(
  deps: RestDeps,
  query: URLSearchParams,
  metadata: JsonMap,
): Parameters<typeof makeTable>[2] {
  return {
    metadata,
    includeObject: query.get("includeObject") ?? "Metadata",
    withColumns: true,
    nowMs: deps.clock.nowMs(),
  };
}

function matcher(resource: Resource, query: URLSearchParams, name: string): Match {
  const labels = labelSelector(query.get("labelSelector") ?? "");
  const fields = fieldSelector(query.get("fieldSelector") ?? "", resource);
  return (object) => (name === "" || object.metadata.name === name) && labels(object) && fields(object);
}

function answerList(deps: RestDeps, call: ResourceCall): void {
  const { target, query, answer, request } = call;
  const { resource } = target;
  const form = negotiate(request.headers.accept);
  const page = listPage(deps, target, query);
  const objects = page.entries.map((entry) => entry.object);
  const metadata = listMetadata(page, query);
  if (form === "table")
    return answer.json(200, makeTable(resource, objects, tableOptions(deps, query, metadata)));
  if (form === "partial") {
    const items = objects.map(partialMetadata);
    return answer.json(200, {
      kind: "PartialObjectMetadataList",
      apiVersion: "meta.k8s.io/v1",
      metadata,
      items,
    });
  }
  const items = page.entries.map((entry) => storedJson(resource, entry)).join(","); // the stored text, not serialised again
  const head = `{"kind":"${resource.listKind}","apiVersion":"${apiVersionOf(resource)}","metadata":${JSON.stringify(metadata)}`;
  return answer.text(200, `${head},"items":[${items}]}`);
}

function listPage(deps: RestDeps, { resource, namespace }: Target, query: URLSearchParams): Page {
  const limit = Number(query.get("limit") ?? "0");
  if (!Number.isSafeInteger(limit) || limit < 0) throw badRequest("limit must be a non-negative integer");
  return listObjects(deps, resource, {
    namespace,
    match: matcher(resource, query, ""),
    limit,
    continueToken: query.get("continue") ?? "",
    resourceVersion: revisionText(query),
    resourceVersionMatch: query.get("resourceVersionMatch") ?? "",
  });
}

/** How many remain is told only where nothing was filtered out. */
function listMetadata(page: Page, query: URLSearchParams): JsonMap {
  const selective = ["labelSelector", "fieldSelector"].some((name) => (query.get(name) ?? "") !== "");
  return {
    resourceVersion: String(page.revision),
    ...(page.continueToken === undefined ? {} : { continue: page.continueToken }),
    ...(page.remaining === 0 || selective ? {} : { remainingItemCount: page.remaining }),
  };
}

function revisionText(query: URLSearchParams): string {
  const text = query.get("resourceVersion") ?? "";
  if (text !== "" && !/^\d{1,15}$/.test(text))
    throw badRequest(
      `Invalid value: ${JSON.stringify(text)}: strconv.ParseUint: parsing ${JSON.stringify(text)}: invalid syntax`,
    );
  return text;
}

function startWatch(deps: RestDeps, { target, query, request, response }: ResourceCall): void {
  streamWatch(
    deps,
    target.resource,
    {
      namespace: target.namespace,
      match: matcher(target.resource, query, target.name),
      form: negotiate(request.headers.accept),
      includeObject: query.get("includeObject") ?? "Metadata",
      resourceVersion: query.get("resourceVersion") ?? "",
      resourceVersionMatch: query.get("resourceVersionMatch") ?? "",
      sendInitialEvents: query.has("sendInitialEvents") && isTrue(query.get("sendInitialEvents")),
      bookmarks: query.has("allowWatchBookmarks") && isTrue(query.get("allowWatchBookmarks")),
      timeoutSeconds: Number(query.get("timeoutSeconds") ?? "0") || 0,
    },
    response,
  );
}

interface DeleteRequest {
  readonly options: JsonMap;
  readonly context: RequestContext;
}

async function answerDelete(
  deps: RestDeps,
  call: ResourceCall,
  form: AnswerForm,
  { options, context }: DeleteRequest,
): Promise<void> {
  const { resource, name } = call.target;
  const { object, gone } = await deleteObject(deps, call.target, options, context);
  if (!gone || resource.id === "pods") return answerObject(deps, call, form, { code: 200, object });
  const group = resource.group === "" ? {} : { group: resource.group };
  const details = { name, ...group, kind: resource.plural, uid: object.metadata.uid };
  call.answer.json(200, { kind: "Status", apiVersion: "v1", metadata: {}, status: "Success", details });
}

async function deleteCollection(
  deps: RestDeps,
  call: ResourceCall,
  { options, context }: DeleteRequest,
): Promise<void> {
  const { resource, namespace } = call.target;
  const match = matcher(resource, call.query, "");
  const items: ApiObject[] = [];
  for (const { object } of matchingEntries(deps, resource, { namespace, match })) {
    const { namespace: where = "", name } = object.metadata;
    const target = { ...call.target, namespace: where, name, isOneOfMany: true };
    items.push((await deleteObject(deps, target, options, context)).object);
  }
  const metadata = { resourceVersion: String(deps.store.revision) };
  call.answer.json(200, { kind: resource.listKind, apiVersion: apiVersionOf(resource), metadata, items });
}
