/** Speaking to the API, the CA and xDS as somebody else: tokens of accounts, the kubelet's certificate, forwarded ports. */
import { readFileSync } from "node:fs";
import { type AddressInfo, createServer } from "node:net";
import { join } from "node:path";
import { Client, type ServiceError, status } from "@grpc/grpc-js";
import { KubeConfig, PortForward } from "@kubernetes/client-node";
import { CaClient } from "#core/identity/ca-client.ts";
import type { WorkloadCertificate } from "#core/identity/certificate.ts";
import {
  callMetadata,
  channelCredentials,
  channelOptions,
  identityDeserializer,
  identitySerializer,
} from "#core/identity/grpc-channel.ts";
import { jsonObject, jsonText } from "#core/k8s/json-read.ts";
import { CONFIG_MAP, kindPath } from "#core/k8s/kinds.ts";
import { KubeClient, kubeStatus } from "#core/k8s/kube-client.ts";
import { kubeClientFor } from "#core/k8s/load-config.ts";
import type { SpiffeId } from "#core/model/spiffe-id.ts";
import { silentLogger } from "#core/runtime/log.ts";
import { DELTA_STREAM_PATH, encodeDeltaRequest, MAX_DELTA_RESPONSE_BYTES } from "#core/wire/xds-codec.ts";
import type { Mesh } from "./mesh.ts";

export interface TokenWish {
  readonly namespace: string;
  readonly account: string;
  /** The API's own audience when absent. */
  readonly audiences?: readonly string[];
  readonly pod?: { readonly name: string; readonly uid: string };
}

/** Issued by the API on the administrator's request, as kubelet asks for it on a pod's behalf. */
export async function tokenFor(mesh: Mesh, wish: TokenWish): Promise<string> {
  const { namespace, account, audiences, pod } = wish;
  const boundObjectRef = pod && { kind: "Pod", apiVersion: "v1", name: pod.name, uid: pod.uid };
  const answer = await mesh.client.json({
    method: "POST",
    path: `/api/v1/namespaces/${namespace}/serviceaccounts/${account}/token`,
    body: {
      apiVersion: "authentication.k8s.io/v1",
      kind: "TokenRequest",
      spec: {
        expirationSeconds: 3_600,
        ...(audiences && { audiences }),
        ...(boundObjectRef && { boundObjectRef }),
      },
    },
  });
  return jsonText(jsonObject(jsonObject(answer)["status"])["token"]);
}

export function clientWithToken(mesh: Mesh, token: string): KubeClient {
  const config = new KubeConfig();
  config.loadFromFile(mesh.cluster.kubeconfigPath);
  const caPem = Buffer.from(config.getCurrentCluster()?.caData ?? "", "base64").toString("utf8");
  return kubeClientFor({ server: mesh.cluster.apiUrl, token, caPem });
}

/** With the credentials of a node's kubelet. */
export function kubeletClient(mesh: Mesh, node: string): KubeClient {
  const path = join(mesh.cluster.stateDir, "nodes", node, "kubelet", "kubeconfig");
  const config = new KubeConfig();
  const text = readFileSync(path, "utf8");
  const server = /server: "?([^"\s]+)"?/.exec(text)?.[1] ?? "";
  config.loadFromString(text.replace(server, mesh.cluster.apiUrl));
  return new KubeClient(config);
}

/** HTTP status and message of a refused request; throws when it is not refused. */
export async function refused(request: Promise<unknown>): Promise<{ status: number; message: string }> {
  try {
    await request;
  } catch (error) {
    const code = kubeStatus(error);
    if (code !== undefined) return { status: code, message: String(error) };
    throw error;
  }
  throw new Error("the request was not refused");
}

export interface ForwardedPort {
  /** `127.0.0.1:port`. */
  readonly address: string;
  close(): void;
}

/** A local port whose connections arrive at a port of a pod. */
export async function forwardPort(
  mesh: Mesh,
  pod: { readonly namespace: string; readonly name: string },
  port: number,
): Promise<ForwardedPort> {
  const config = new KubeConfig();
  config.loadFromFile(mesh.cluster.kubeconfigPath);
  const forward = new PortForward(config);
  const server = createServer((socket) => {
    socket.on("error", () => undefined);
    forward.portForward(pod.namespace, pod.name, [port], socket, null, socket).catch(() => socket.destroy());
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", () => resolve()));
  return {
    address: `localhost:${(server.address() as AddressInfo).port}`,
    close: () => server.close(),
  };
}

/** The mesh's roots, as every namespace has them. */
export async function meshRoots(mesh: Mesh): Promise<string> {
  const path = kindPath(CONFIG_MAP, { namespace: "istio-system", name: "istio-ca-root-cert" });
  return jsonText(
    jsonObject(jsonObject(await mesh.client.json({ method: "GET", path }))["data"])["root-cert.pem"],
  );
}

export interface CaWish {
  readonly address: string;
  readonly rootsPem: string;
  readonly token: string;
  readonly identity: SpiffeId;
  /** Asked for on behalf of a pod (default), or as the caller's own. */
  readonly own?: boolean;
  readonly validitySeconds?: number;
}

const SERVER_NAME = "istiod.istio-system.svc";

/** Asks the CA; rejects with what it answered. */
export async function askCa(wish: CaWish): Promise<WorkloadCertificate> {
  const client = new CaClient(
    {
      log: silentLogger,
      readRoots: () => Promise.resolve(wish.rootsPem),
      readToken: () => Promise.resolve(wish.token),
    },
    {
      address: wish.address,
      serverName: SERVER_NAME,
      clusterId: "Kubernetes",
      validitySeconds: wish.validitySeconds ?? 600,
      impersonate: wish.own !== true,
      timeoutMs: 5_000,
    },
  );
  try {
    return await client.issue(wish.identity, AbortSignal.timeout(6_000));
  } finally {
    client.close();
  }
}

export interface XdsWish {
  readonly address: string;
  readonly rootsPem: string;
  readonly token: string;
  readonly nodeId: string;
  readonly metadata: Readonly<Record<string, string>>;
  readonly typeUrl: string;
}

const EMPTY_REQUEST = {
  subscribe: [],
  unsubscribe: [],
  initialResourceVersions: new Map<string, string>(),
  responseNonce: "",
  error: undefined,
};

/** Opens a delta stream; gives the bytes of the first answer, or the gRPC status that ended it. */
export async function openXds(wish: XdsWish): Promise<{ answer: number } | { status: string }> {
  const options = channelOptions({ maxReceiveBytes: MAX_DELTA_RESPONSE_BYTES, serverName: SERVER_NAME });
  const client = new Client(wish.address, channelCredentials(wish.rootsPem), options);
  const call = client.makeBidiStreamRequest(
    DELTA_STREAM_PATH,
    identitySerializer,
    identityDeserializer,
    callMetadata(wish.token, "Kubernetes"),
    { deadline: Date.now() + 5_000 },
  );
  try {
    return await new Promise((resolve) => {
      call.on("data", (bytes: Buffer) => resolve({ answer: bytes.length }));
      call.on("error", (error: ServiceError) =>
        resolve({ status: status[error.code] ?? String(error.code) }),
      );
      const node = { id: wish.nodeId, cluster: "", buildVersion: "", metadata: wish.metadata };
      call.write(encodeDeltaRequest({ node, typeUrl: wish.typeUrl, ...EMPTY_REQUEST }));
    });
  } finally {
    call.cancel();
    client.close();
  }
}
