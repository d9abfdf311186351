/** A whole controller over a scripted Kubernetes API, with tokens that the fake API knows. Real sockets throughout. */
import { setTimeout as pause } from "node:timers/promises";
import type { Clock } from "#core/base/clock.ts";
import { EnvReader } from "#core/runtime/env.ts";
import { kubeClientFor } from "#core/k8s/load-config.ts";
import { jsonObject, jsonText } from "#core/k8s/json-read.ts";
import { createLog, type Logger } from "#core/runtime/log.ts";
import {
  FakeKubeApi,
  type FakeAnswer,
  type FakeRequest,
  type RawObject,
} from "#core/testing/fake-kube-api.ts";
import { type Controller, startController } from "../app.ts";
import { type ControllerConfig, parseConfig } from "../config.ts";

export const ROOTS = {
  namespaces: "/api/v1/namespaces",
  nodes: "/api/v1/nodes",
  pods: "/api/v1/pods",
  services: "/api/v1/services",
  serviceAccounts: "/api/v1/serviceaccounts",
  secrets: "/api/v1/secrets",
  configMaps: "/api/v1/configmaps",
  leases: "/apis/coordination.k8s.io/v1/leases",
  authorizationPolicies: "/apis/security.istio.io/v1/authorizationpolicies",
  peerAuthentications: "/apis/security.istio.io/v1/peerauthentications",
} as const;

const REVIEWS = "/apis/authentication.k8s.io/v1/tokenreviews";

/** What a token review answers about a token. */
export interface TokenFacts {
  readonly account: string;
  readonly accountUid: string;
  readonly podName: string;
  readonly podUid: string;
  readonly node: string;
  readonly audiences: readonly string[];
}

export interface Harness {
  readonly api: FakeKubeApi;
  readonly controller: Controller;
  readonly log: readonly string[];
  /** Tokens that reviews accept. */
  readonly tokens: Map<string, TokenFacts>;
  readonly reviewCount: () => number;
  /** PEM of the roots that the controller has made. */
  readonly rootsPem: () => string;
  stop(): Promise<void>;
}

export interface HarnessOptions {
  readonly env?: Readonly<Record<string, string>>;
  readonly seed?: (api: FakeKubeApi) => void;
  /** Do not wait for readiness. */
  readonly unready?: boolean;
  readonly clock?: Clock;
  /** With which the controller comes to the API. */
  readonly token?: string;
}

let unique = 0;

/** An unsigned token with the right claims: nobody but the (fake) API verifies signatures. */
export function makeToken(claims: Readonly<Record<string, unknown>> = {}): string {
  const part = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString("base64url");
  const body = {
    aud: ["istio-ca"],
    exp: Math.floor(Date.now() / 1_000) + 3_600,
    iss: "https://kubernetes.default.svc",
    sub: "system:serviceaccount:istio-system:ztunnel",
    jti: String(++unique),
    ...claims,
  };
  return `${part({ alg: "RS256" })}.${part(body)}.c2ln`;
}

export async function startHarness(options: HarnessOptions = {}): Promise<Harness> {
  const api = await FakeKubeApi.start();
  const tokens = new Map<string, TokenFacts>();
  const lines: string[] = [];
  api.intercept = (request) => reviewAnswer(request, tokens);
  seedCluster(api);
  options.seed?.(api);
  const log: Logger = createLog("controller", { level: "debug", write: (line) => lines.push(line) }).root;
  const controller = await startController(testConfig(options.env ?? {}), {
    client: kubeClientFor({
      server: api.url,
      ...(options.token !== undefined && { token: options.token }),
    }),
    log,
    ...(options.clock !== undefined && { clock: options.clock }),
  });
  const harness: Harness = {
    api,
    controller,
    log: lines,
    tokens,
    reviewCount: () => api.requests.filter((request) => request.path === REVIEWS).length,
    rootsPem: () => rootsOf(api),
    stop: async () => {
      await controller.stop();
      await api.close();
    },
  };
  if (options.unready !== true) await eventually("ready", () => controller.readiness.isReady());
  return harness;
}

export function testConfig(env: Readonly<Record<string, string>>): ControllerConfig {
  const config = parseConfig(
    new EnvReader({
      AMBIT_GRPC_PORT: "0",
      AMBIT_METRICS_PORT: "0",
      AMBIT_DEBUG_PORT: "0",
      AMBIT_SERVER_NAMES: "localhost",
      POD_NAME: "controller-0",
      ...env,
    }),
  );
  if (!config.ok) throw new Error(JSON.stringify(config.problems));
  return config.value;
}

/** Waits until `condition` holds; fails with its name after ten seconds. */
export async function eventually(name: string, condition: () => unknown): Promise<void> {
  const endMs = performance.now() + 10_000;
  while (condition() === false || condition() === undefined) {
    if (performance.now() > endMs) throw new Error(`never happened: ${name}`);
    await pause(5);
  }
}

function reviewAnswer(request: FakeRequest, tokens: ReadonlyMap<string, TokenFacts>): FakeAnswer | undefined {
  if (request.path !== REVIEWS) return undefined;
  const facts = tokens.get(jsonText(jsonObject(request.body?.["spec"])["token"]));
  if (facts === undefined) return { status: 201, body: { status: { authenticated: false, error: "no" } } };
  const extra = (value: string): readonly string[] => (value === "" ? [] : [value]);
  const user = {
    username: facts.account,
    uid: facts.accountUid,
    groups: ["system:serviceaccounts"],
    extra: {
      "authentication.kubernetes.io/pod-name": extra(facts.podName),
      "authentication.kubernetes.io/pod-uid": extra(facts.podUid),
      "authentication.kubernetes.io/node-name": extra(facts.node),
    },
  };
  return { status: 201, body: { status: { authenticated: true, audiences: facts.audiences, user } } };
}

/** Two nodes, each with a ztunnel; the shop's frontend on the first, its catalog on the second. */
function seedCluster(api: FakeKubeApi): void {
  for (const name of ["istio-system", "shop", "other"]) api.put(ROOTS.namespaces, namespace(name));
  api.put(ROOTS.namespaces, namespace("shop", { "istio.io/dataplane-mode": "ambient" }));
  for (const n of [1, 2]) {
    api.put(ROOTS.nodes, {
      metadata: { name: `node-${n}` },
      spec: { podCIDRs: [`10.244.${n}.0/24`] },
      status: { addresses: [{ type: "InternalIP", address: `192.168.0.${n}` }] },
    });
    api.put(
      ROOTS.pods,
      pod("istio-system", `ztunnel-${n}`, { node: `node-${n}`, ip: `10.244.${n}.2`, account: "ztunnel" }),
    );
  }
  account(api, "istio-system", "ztunnel");
  account(api, "shop", "frontend");
  account(api, "shop", "catalog");
  api.put(ROOTS.pods, pod("shop", "frontend", { node: "node-1", ip: "10.244.1.5", account: "frontend" }));
  api.put(ROOTS.pods, pod("shop", "catalog", { node: "node-2", ip: "10.244.2.5", account: "catalog" }));
  api.put(ROOTS.services, service("shop", "catalog", "10.96.0.7"));
  api.put(ROOTS.secrets, {
    metadata: { namespace: "istio-system", name: "istio-ca-secret" },
    type: "istio.io/ca-root",
  });
}

export function account(api: FakeKubeApi, namespaceName: string, name: string): void {
  api.put(ROOTS.serviceAccounts, {
    metadata: { namespace: namespaceName, name, uid: `uid-account-${name}` },
  });
}

export function namespace(name: string, labels: Readonly<Record<string, string>> = {}): RawObject {
  return { metadata: { name, labels } };
}

export interface PodOptions {
  readonly node: string;
  readonly ip: string;
  readonly account: string;
  readonly uid?: string;
  readonly metadata?: RawObject;
  readonly spec?: RawObject;
  readonly status?: RawObject;
}

export function pod(namespaceName: string, name: string, options: PodOptions): RawObject {
  return {
    metadata: {
      namespace: namespaceName,
      name,
      uid: options.uid ?? `uid-${name}`,
      labels: { app: name },
      annotations: { "ambient.istio.io/redirection": "enabled" },
      ...options.metadata,
    },
    spec: { nodeName: options.node, serviceAccountName: options.account, ...options.spec },
    status: {
      phase: "Running",
      podIPs: [{ ip: options.ip }],
      conditions: [{ type: "Ready", status: "True" }],
      ...options.status,
    },
  };
}

export function service(namespaceName: string, name: string, ip: string): RawObject {
  return {
    metadata: { namespace: namespaceName, name },
    spec: {
      selector: { app: name },
      clusterIPs: [ip],
      ports: [{ name: "http", port: 80, targetPort: 8080 }],
    },
  };
}

export function policy(namespaceName: string, name: string, spec: RawObject): RawObject {
  return { metadata: { namespace: namespaceName, name, generation: 1 }, spec };
}

/** A token of a ztunnel, known to the fake API. */
export function ztunnelToken(
  harness: Pick<Harness, "tokens">,
  n: number,
  change: Partial<TokenFacts> = {},
): string {
  const token = makeToken();
  harness.tokens.set(token, {
    account: "system:serviceaccount:istio-system:ztunnel",
    accountUid: "uid-account-ztunnel",
    podName: `ztunnel-${n}`,
    podUid: `uid-ztunnel-${n}`,
    node: `node-${n}`,
    audiences: ["istio-ca"],
    ...change,
  });
  return token;
}

function rootsOf(api: FakeKubeApi): string {
  const secret = jsonObject(api.get(ROOTS.secrets, "istio-system/istio-ca-secret"));
  return Buffer.from(jsonText(jsonObject(secret["data"])["root-cert.pem"]), "base64").toString();
}
