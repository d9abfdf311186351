/** The embedded API as a cluster needs it: reachable on this machine's loopback and inside every node, with cluster DNS registered. */
import { join } from "node:path";
import { createObject } from "#core/k8s/apply.ts";
import { jsonList, jsonObject, jsonText } from "#core/k8s/json-read.ts";
import { ENDPOINT_SLICE, kindPath, NODE, SERVICE } from "#core/k8s/kinds.ts";
import { KubeClient, kubeStatus } from "#core/k8s/kube-client.ts";
import { KubeConfig } from "@kubernetes/client-node";
import { namedNetnsPath, openNetns } from "#core/linux/netns.ts";
import { tcpListenerFd } from "#core/linux/tcp-socket.ts";
import { AmbitError } from "#core/runtime/errors.ts";
import type { Logger } from "#core/runtime/log.ts";
import { type RunningApiServer, startApiServer } from "./apiserver/start-apiserver.ts";
import {
  API_VIPS,
  DNS_ENDPOINTS,
  DNS_VIPS,
  NODE_API_PORT,
  type NodeAddresses,
  SERVICE_CIDR,
  SERVICE_CIDR_V6,
} from "./network/addresses.ts";

export interface ClusterApiOptions {
  readonly prefix: string;
  readonly stateDir: string;
  readonly port: number;
  readonly addresses: readonly NodeAddresses[];
  readonly log: Logger;
}

export interface ClusterApi {
  readonly url: string;
  readonly adminKubeconfig: string;
  kubeletKubeconfig(node: NodeAddresses): string;
  /** Fails with NODES_NOT_READY after a minute. */
  untilNodesReady(names: readonly string[]): Promise<void>;
  close(): Promise<void>;
}

const API_BACKLOG = 128;
const READY_TIMEOUT_MS = 60_000;

export async function startClusterApi(options: ClusterApiOptions): Promise<ClusterApi> {
  const { addresses, stateDir } = options;
  const nodeIps = addresses.flatMap((node) => [node.ip, node.ip6]);
  const server = await startApiServer({
    dataDir: join(stateDir, "api"),
    listen: [{ host: "127.0.0.1", port: options.port }],
    advertise: [
      ...nodeIps,
      ...API_VIPS,
      "localhost",
      "kubernetes.default.svc",
      "kubernetes.default.svc.cluster.local",
    ],
    serviceCidr: SERVICE_CIDR,
    serviceCidrV6: SERVICE_CIDR_V6,
    endpoints: nodeIps.map((host) => ({ host, port: NODE_API_PORT })),
    kubelets: { socketPath: (name) => socketPath(options, name) },
    log: options.log.child("apiserver"),
  });
  for (const node of addresses) await serveInNode(server, options.prefix, node);
  const client = adminClient(server.adminKubeconfig);
  await registerDns(client);
  return {
    url: `https://127.0.0.1:${server.port}`,
    adminKubeconfig: server.adminKubeconfig,
    kubeletKubeconfig: (node) =>
      server.issueClientKubeconfig(
        `system:node:n${node.index}`,
        ["system:nodes"],
        `https://${node.ip}:${NODE_API_PORT}`,
      ),
    untilNodesReady: (names) => untilNodesReady(client, names),
    close: async () => {
      client.close();
      await server.close();
    },
  };
}

function socketPath({ addresses, stateDir }: ClusterApiOptions, name: string): string | undefined {
  const known = addresses.some((node) => `n${node.index}` === name);
  return known ? join(stateDir, "nodes", name, "kubelet", "kubelet.sock") : undefined;
}

/** On the node's own addresses and on the address of the Service `kubernetes`, which every node's loopback device holds. */
async function serveInNode(server: RunningApiServer, prefix: string, node: NodeAddresses): Promise<void> {
  const netns = openNetns(namedNetnsPath(`${prefix}-n${node.index}`));
  try {
    const own = [node.ip, node.ip6].map((bindIp) => ({ bindIp, port: NODE_API_PORT }));
    const shared = API_VIPS.map((bindIp) => ({ bindIp, port: 443 }));
    for (const at of [...own, ...shared])
      await server.serveFd(tcpListenerFd({ netns, backlog: API_BACKLOG, ...at }));
  } finally {
    netns.close();
  }
}

function adminClient(kubeconfig: string): KubeClient {
  const config = new KubeConfig();
  config.loadFromString(kubeconfig);
  return new KubeClient(config);
}

/** Served by every node for its own pods; the slice is for enrolled pods, which reach services through the mesh. */
async function registerDns(client: KubeClient): Promise<void> {
  const ports = [
    { name: "dns", protocol: "UDP", port: 53 },
    { name: "dns-tcp", protocol: "TCP", port: 53 },
  ];
  const service = {
    metadata: {
      name: "kube-dns",
      namespace: "kube-system",
      labels: { "k8s-app": "kube-dns", "kubernetes.io/name": "CoreDNS" },
    },
    spec: {
      clusterIP: DNS_VIPS[0],
      clusterIPs: DNS_VIPS,
      ipFamilies: ["IPv4", "IPv6"],
      ipFamilyPolicy: "RequireDualStack",
      ports,
    },
  };
  await createUnlessPresent(() => createObject(client, SERVICE, "kube-system", service));
  for (const family of ["IPv4", "IPv6"] as const) {
    const own = DNS_ENDPOINTS.filter((address) => address.includes(":") === (family === "IPv6"));
    const endpoints = [{ addresses: own, conditions: { ready: true, serving: true, terminating: false } }];
    const name = `kube-dns-${family.toLowerCase()}`;
    const metadata = {
      name,
      namespace: "kube-system",
      labels: {
        "kubernetes.io/service-name": "kube-dns",
        "endpointslice.kubernetes.io/managed-by": "ambit-local",
      },
    };
    await createUnlessPresent(() =>
      createObject(client, ENDPOINT_SLICE, "kube-system", {
        metadata,
        addressType: family,
        endpoints,
        ports,
      }),
    );
  }
}

async function createUnlessPresent(create: () => Promise<unknown>): Promise<void> {
  try {
    await create();
  } catch (error) {
    if (kubeStatus(error) !== 409) throw error;
  }
}

async function untilNodesReady(client: KubeClient, names: readonly string[]): Promise<void> {
  const until = Date.now() + READY_TIMEOUT_MS;
  for (;;) {
    const items = jsonList(
      jsonObject(await client.json({ method: "GET", path: kindPath(NODE) }))["items"],
    ).map(jsonObject);
    const ready = new Set(
      items.filter(isReady).map((node) => jsonText(jsonObject(node["metadata"])["name"])),
    );
    const missing = names.filter((name) => !ready.has(name));
    if (missing.length === 0) return;
    if (Date.now() > until)
      throw new AmbitError(
        "NODES_NOT_READY",
        `nodes ${missing.join(", ")} are not Ready after ${READY_TIMEOUT_MS / 1000} s`,
      );
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

function isReady(node: Readonly<Record<string, unknown>>): boolean {
  const conditions = jsonList(jsonObject(node["status"])["conditions"]).map(jsonObject);
  return conditions.some((condition) => condition["type"] === "Ready" && condition["status"] === "True");
}
