/**
 * Requests that the fences of deploy/ let pass or refuse, asked of any API server one after the other, and what it answered. Names and uids that
 * servers make up stand as {pod:NAME}, {podUid:NAME}, {replicaset:NAME}, {replicasetUid:NAME}, {gatewayUid:NAME}.
 */
import { jsonList, jsonObject, jsonText } from "#core/k8s/json-read.ts";
import {
  eventually,
  type RequestOptions,
  type TestAnswer,
  type TestApi,
} from "#local/apiserver/testing/test-api.ts";

export interface FenceExchange {
  readonly case: string;
  /** `admin`, `owner`, `controller`, or a user of Kubernetes' own, who asks with every right. */
  readonly by: string;
  readonly verb: "GET" | "POST" | "PATCH" | "DELETE" | "APPLY";
  readonly path: string;
  readonly body?: unknown;
  /** As recorded. */
  readonly answer?: FenceAnswer;
}

export type FenceAnswer =
  | { readonly refusedBy: string; readonly message: string; readonly code: number }
  /** Done; or, of connections, passed on to the kubelet, who may have none of it. */
  | { readonly admitted: true }
  | { readonly code: number; readonly reason: string };

type Api = Pick<TestApi, "request">;

const ACCOUNTS: Readonly<Record<string, string>> = {
  owner: "system:serviceaccount:fences:owner",
  controller: "system:serviceaccount:istio-system:ambit-controller",
};
const PLACES: Readonly<Record<string, string>> = {
  pod: "/api/v1/namespaces/fences/pods",
  replicaset: "/apis/apps/v1/namespaces/fences/replicasets",
  gateway: "/apis/gateway.networking.k8s.io/v1/namespaces/fences/gateways",
};

export async function askFence(api: Api, exchange: FenceExchange): Promise<FenceAnswer> {
  const { by, verb, path, body } = JSON.parse(
    await resolved(api, JSON.stringify({ ...exchange, answer: undefined })),
  ) as FenceExchange;
  const options: RequestOptions = { headers: impersonation(by), ...(body !== undefined && { body }) };
  if (verb === "APPLY") {
    const contentType = "application/apply-patch+yaml";
    return answerOf(
      path,
      await api.request("PATCH", `${path}?fieldManager=test&force=true`, { ...options, contentType }),
    );
  }
  const strategic = !path.startsWith("/apis/gateway.networking.k8s.io/");
  const contentType = `application/${strategic ? "strategic-" : ""}merge-patch+json`;
  return answerOf(
    path,
    await api.request(verb, path, { ...options, ...(verb === "PATCH" && { contentType }) }),
  );
}

function impersonation(by: string): Readonly<Record<string, string>> {
  if (by === "admin") return {};
  const account = ACCOUNTS[by];
  return account === undefined
    ? { "impersonate-user": by, "impersonate-group": "system:masters" }
    : { "impersonate-user": account };
}

const DENIED = /ValidatingAdmissionPolicy '([^']+)' with binding '[^']+' denied request: (.*)$/s;
const CONNECTS = /\/(exec|attach|portforward|ephemeralcontainers)(\?|$)/;

function answerOf(path: string, { code, body }: TestAnswer): FenceAnswer {
  const denied = DENIED.exec(jsonText(body["message"]));
  if (denied !== null) return { refusedBy: denied[1] ?? "", message: denied[2] ?? "", code };
  if (code < 300 || (CONNECTS.test(path) && code !== 403)) return { admitted: true };
  return { code, reason: jsonText(body["reason"]) };
}

async function resolved(api: Api, text: string): Promise<string> {
  let out = text;
  for (const [placeholder, kind = "", uid, name = ""] of text.matchAll(/\{([a-z]+)(Uid)?:([a-z-]+)\}/g)) {
    const metadata = await made(api, kind, name);
    out = out.replaceAll(placeholder, jsonText(metadata[uid === undefined ? "name" : "uid"]));
  }
  return out;
}

/** Metadata of the Gateway of that name, or of the first object that the Deployment's controllers made of it. */
async function made(api: Api, kind: string, name: string): Promise<Readonly<Record<string, unknown>>> {
  const find = ({ body }: TestAnswer): Readonly<Record<string, unknown>> | undefined =>
    jsonList(body["items"])
      .map((item) => jsonObject(jsonObject(item)["metadata"]))
      .find((metadata) =>
        kind === "gateway" ? metadata["name"] === name : jsonText(metadata["name"]).startsWith(`${name}-`),
      );
  const answer = await eventually(
    () => api.request("GET", PLACES[kind] ?? ""),
    (list) => find(list) !== undefined,
  );
  const found = find(answer);
  if (found === undefined) throw new Error(`no ${kind} of ${name} appeared`);
  return found;
}
