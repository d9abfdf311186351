/** What happens inside of a running pod: exec, attach, port-forward, debug containers. Nothing is stored, and admission is asked all the same. */
import type { UserInfo } from "../auth/user.ts";
import { type ApiObject, clone, digList, type JsonMap } from "../object.ts";
import { internalContext, type RequestContext, type RestDeps, type Target } from "./context.ts";
import { readObject } from "./modify.ts";
import { patchFunction } from "./patch.ts";
import type { SubresourceRequest } from "./subresources.ts";

const OPTIONS_KINDS: Readonly<Record<string, string>> = {
  exec: "PodExecOptions",
  attach: "PodAttachOptions",
  portforward: "PodPortForwardOptions",
};

/** Throws when the caller may not connect; whether there is such a pod is looked up later. */
export async function admitConnect(
  deps: RestDeps,
  target: Target,
  user: UserInfo,
  query: URLSearchParams,
): Promise<void> {
  const object = { ...optionsOf(query), apiVersion: "v1", kind: OPTIONS_KINDS[target.subresource] };
  const context = { ...internalContext(""), user };
  const operation = "CONNECT";
  // Of what an object has, these options have neither name nor labels.
  const named = { ...object, metadata: { name: "" } } as unknown as ApiObject;
  await deps.admission.validate({ operation, target, object: named, old: undefined, context });
}

function optionsOf(query: URLSearchParams): Readonly<Record<string, unknown>> {
  const flags = ["stdin", "stdout", "stderr", "tty"].filter((name) =>
    ["1", "true"].includes(query.get(name) ?? ""),
  );
  const container = query.get("container") ?? "";
  const command = query.getAll("command");
  const ports = query.getAll("ports").flatMap((text) => text.split(",").map(Number));
  return {
    ...Object.fromEntries(flags.map((name) => [name, true])),
    ...(container !== "" && { container }),
    ...(command.length > 0 && { command }),
    ...(ports.length > 0 && { ports }),
  };
}

/** Refused to those to whom a cluster that runs such containers would refuse it; told to the others that this one does not. */
export async function admitEphemeralContainers(
  deps: RestDeps,
  target: Target,
  request: SubresourceRequest,
  context: RequestContext,
): Promise<void> {
  const old = readObject(deps, target);
  const change =
    request.verb === "update"
      ? () => request.body
      : patchFunction(deps, target, request.contentType, request.body);
  const ephemeralContainers = digList(change(old), "spec", "ephemeralContainers");
  const object = {
    ...clone(old),
    spec: { ...(clone(old).spec as JsonMap), ephemeralContainers },
  } as ApiObject;
  await deps.admission.validate({ operation: "UPDATE", target, object, old, context });
}
