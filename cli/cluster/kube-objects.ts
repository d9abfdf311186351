/** `ObjectAccess` over the Kubernetes API. */
import { jsonList, jsonObject } from "#core/k8s/json-read.ts";
import { type KubeRequest, kubeStatus } from "#core/k8s/kube-client.ts";
import { type Kind, kindPath } from "#core/k8s/kinds.ts";
import { projectMeta } from "#core/k8s/project.ts";
import { AmbitError } from "#core/runtime/errors.ts";
import type { ObjectAccess } from "./object-access.ts";

const FIELD_MANAGER = "ambit";

/** One request, its JSON answer. */
export type SendRequest = (request: KubeRequest) => Promise<unknown>;

export function kubeObjects(send: SendRequest): ObjectAccess {
  return {
    list: async (kind, namespace) => {
      try {
        const answer = jsonObject(await send({ method: "GET", path: kindPath(kind, { namespace }) }));
        return jsonList(answer["items"]).map(jsonObject);
      } catch (error) {
        throw kubeStatus(error) === 404 ? unknownKind(kind, error) : error;
      }
    },
    get: (kind, name) => orUndefined(send({ method: "GET", path: kindPath(kind, name) }).then(jsonObject)),
    apply: async (kind, manifest) => {
      const { namespace, name } = projectMeta(manifest);
      return jsonObject(
        await send({
          method: "PATCH",
          path: kindPath(kind, { namespace, name }),
          query: { fieldManager: FIELD_MANAGER, force: "true" },
          contentType: "application/apply-patch+yaml",
          body: manifest,
        }),
      );
    },
    patch: async (kind, name, change) => {
      const query = { fieldManager: FIELD_MANAGER };
      const contentType = "application/merge-patch+json";
      await send({ method: "PATCH", path: kindPath(kind, name), query, contentType, body: change });
    },
    delete: async (kind, name) =>
      (await orUndefined(send({ method: "DELETE", path: kindPath(kind, name) }))) !== undefined,
  };
}

async function orUndefined<T>(answer: Promise<T>): Promise<T | undefined> {
  try {
    return await answer;
  } catch (error) {
    if (kubeStatus(error) === 404) return undefined;
    throw error;
  }
}

function unknownKind({ kind, group }: Kind, cause: unknown): AmbitError {
  return new AmbitError("CLI_NO_KIND", `this cluster has no kind ${kind} (${group})`, { cause });
}
