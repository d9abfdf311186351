/** One AdmissionReview over TLS, verified against the webhook's own caBundle and nothing else. */
import https from "node:https";
import type {
  AdmissionregistrationV1WebhookClientConfig,
  V1EndpointSlice,
  V1Service,
} from "@kubernetes/client-node";
import { type ApiObject, isRecord, type JsonMap } from "../object.ts";
import type { ObjectStore } from "../store/object-store.ts";

const MAX_ANSWER = 3 * 1024 * 1024;

interface Destination {
  readonly url: URL;
  readonly servername: string | undefined;
}

/** The `response` of the answer. Rejects with a reason fit for a user when there is none. */
export async function callWebhook(
  store: ObjectStore,
  config: AdmissionregistrationV1WebhookClientConfig,
  review: JsonMap,
  seconds: number,
): Promise<JsonMap> {
  const { url, servername } = destination(store, config);
  url.searchParams.set("timeout", `${seconds}s`);
  if (config.caBundle === undefined) throw new Error("the webhook has no caBundle");
  const answer = await post(url, {
    servername,
    ca: Buffer.from(config.caBundle, "base64").toString(),
    body: JSON.stringify(review),
    ms: seconds * 1000,
  });
  const parsed: unknown = JSON.parse(answer);
  const response = isRecord(parsed) ? parsed["response"] : undefined;
  if (!isRecord(response)) throw new Error("the webhook's answer has no response");
  return response;
}

/** There is no proxy for Service addresses here: a ready endpoint is dialled, its certificate must be the Service's. */
function destination(store: ObjectStore, config: AdmissionregistrationV1WebhookClientConfig): Destination {
  if (config.url !== undefined) return { url: new URL(config.url), servername: undefined };
  const { service } = config;
  if (service === undefined) throw new Error("the webhook has neither url nor service");
  const { namespace, name, path = "/", port = 443 } = service;
  const found = store.get("services", `${namespace}/${name}`) as unknown as V1Service | undefined;
  if (found === undefined) throw new Error(`service "${name}" not found`);
  const portName = (found.spec?.ports ?? []).find((candidate) => candidate.port === port)?.name ?? "";
  const host = slicesOf(store, namespace, name)
    .map((slice) => readyHost(slice, portName))
    .find((text) => text !== undefined);
  if (host === undefined) throw new Error(`no endpoints available for service "${name}"`);
  return { url: new URL(`https://${host}${path}`), servername: `${name}.${namespace}.svc` };
}

function slicesOf(store: ObjectStore, namespace: string, service: string): ApiObject[] {
  return store.list("endpointslices.discovery.k8s.io").filter(({ metadata }) => {
    return metadata.namespace === namespace && metadata.labels?.["kubernetes.io/service-name"] === service;
  });
}

/** `address:port` of a ready endpoint. */
function readyHost(object: ApiObject, portName: string): string | undefined {
  const { ports = [], endpoints } = object as unknown as V1EndpointSlice;
  const port = ports.find((candidate) => (candidate.name ?? "") === portName)?.port;
  const address = (endpoints ?? []).find((endpoint) => endpoint.conditions?.ready !== false)?.addresses[0];
  if (port === undefined || address === undefined) return undefined;
  return `${address.includes(":") ? `[${address}]` : address}:${port}`;
}

interface Call {
  readonly servername: string | undefined;
  readonly ca: string;
  readonly body: string;
  readonly ms: number;
}

function post(url: URL, { servername, ca, body, ms }: Call): Promise<string> {
  return new Promise((resolve, reject) => {
    const fail = (error: Error): void =>
      reject(
        error.name === "AbortError" || error.name === "TimeoutError"
          ? new Error(`Post "${url.href}": context deadline exceeded`)
          : error,
      );
    const request = https.request(
      url,
      {
        method: "POST",
        agent: false,
        ca: [ca],
        ...(servername === undefined ? {} : { servername }),
        signal: AbortSignal.timeout(ms),
        headers: {
          "content-type": "application/json",
          accept: "application/json",
          "user-agent": "kube-apiserver-admission",
          "content-length": Buffer.byteLength(body),
        },
      },
      (response) => {
        const chunks: Buffer[] = [];
        let size = 0;
        response.on("data", (chunk: Buffer) => {
          size += chunk.length;
          chunks.push(chunk);
          if (size > MAX_ANSWER) request.destroy(new Error("the webhook's answer is too large"));
        });
        response.on("error", fail);
        response.on("end", () => {
          if (response.statusCode === 200) resolve(Buffer.concat(chunks).toString());
          else fail(new Error(`the server responded with status ${response.statusCode}`));
        });
      },
    );
    request.on("error", fail);
    request.end(body);
  });
}
