/** For tests of the fences around waypoints: an API server with its controllers, the waypoints' rights and fences, and two waypoints. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { jsonList, jsonObject, jsonText } from "#core/k8s/json-read.ts";
import type { KubeClient } from "#core/k8s/kube-client.ts";
import { kubeClientFor } from "#core/k8s/load-config.ts";
import {
  credentialsOf,
  eventually,
  startTestApi,
  type TestAnswer,
  type TestApi,
} from "#local/apiserver/testing/test-api.ts";
import { parseManifests } from "#local/manifests.ts";

export type Json = Readonly<Record<string, unknown>>;
export type Verb = "POST" | "PATCH" | "DELETE" | "APPLY";

const SHOP = "namespaces/shop";
export const PATHS = {
  pods: `/api/v1/${SHOP}/pods`,
  services: `/api/v1/${SHOP}/services`,
  serviceaccounts: `/api/v1/${SHOP}/serviceaccounts`,
  deployments: `/apis/apps/v1/${SHOP}/deployments`,
  replicasets: `/apis/apps/v1/${SHOP}/replicasets`,
  gateways: `/apis/gateway.networking.k8s.io/v1/${SHOP}/gateways`,
} as const;
const RBAC = "/apis/rbac.authorization.k8s.io/v1";
const ADMISSION = "/apis/admissionregistration.k8s.io/v1";
export const LABEL = { "gateway.istio.io/managed": "istio.io-mesh-controller" } as const;
export const RECORD = '{"form":1,"deployment":"","bindings":[]}';
export const CONTAINER = {
  name: "istio-proxy",
  image: "ambit/waypoint",
  securityContext: { allowPrivilegeEscalation: false, capabilities: { drop: ["ALL"] } },
} as const;

const PLURALS: Readonly<Record<string, string>> = {
  Role: `${RBAC}/namespaces/istio-system/roles`,
  RoleBinding: `${RBAC}/namespaces/istio-system/rolebindings`,
  ServiceAccount: "/api/v1/namespaces/istio-system/serviceaccounts",
  CustomResourceDefinition: "/apis/apiextensions.k8s.io/v1/customresourcedefinitions",
  ClusterRole: `${RBAC}/clusterroles`,
  ClusterRoleBinding: `${RBAC}/clusterrolebindings`,
  ValidatingAdmissionPolicy: `${ADMISSION}/validatingadmissionpolicies`,
  ValidatingAdmissionPolicyBinding: `${ADMISSION}/validatingadmissionpolicybindings`,
};

/** Beside `edit`: what a namespace's owner gets where Gateways are for owners. */
const GATEWAY_WRITER = {
  metadata: { name: "gateway-writer" },
  rules: [
    {
      apiGroups: ["gateway.networking.k8s.io"],
      resources: ["gateways"],
      verbs: ["create", "update", "patch", "delete"],
    },
  ],
};

export interface Asked {
  readonly verb: Verb;
  readonly path: string;
  readonly body?: unknown;
  readonly by: "owner" | "controller";
}

export class FencedApi {
  readonly api: TestApi;
  readonly #tokens: Readonly<Record<Asked["by"], string>>;
  readonly #uids = new Map<string, string>();

  private constructor(api: TestApi, tokens: Readonly<Record<Asked["by"], string>>) {
    this.api = api;
    this.#tokens = tokens;
  }

  /** With the waypoints `ambit-waypoint` and, of a Gateway of the owner's, `edge`, unless told otherwise. */
  static async start({ waypoints = ["ambit-waypoint", "edge"] } = {}): Promise<FencedApi> {
    const api = await startTestApi();
    try {
      const fenced = await FencedApi.#furnish(api);
      for (const name of waypoints) await fenced.addWaypoint(name);
      return fenced;
    } catch (error) {
      await api.close();
      throw error;
    }
  }

  static async #furnish(api: TestApi): Promise<FencedApi> {
    const made = (path: string, body: Json): Promise<Json> => create(api, path, body);
    for (const name of ["shop", "istio-system"]) await made("/api/v1/namespaces", { metadata: { name } });
    for (const file of [
      "crds/gateway.yaml",
      "deploy/20-rbac.yaml",
      "deploy/21-rbac-waypoints.yaml",
      "deploy/31-admission-waypoints.yaml",
    ]) {
      const text = readFileSync(join(import.meta.dirname, "..", "..", file), "utf8");
      for (const manifest of parseManifests(text, file))
        await made(PLURALS[jsonText(manifest["kind"])] ?? assert.fail(file), manifest);
    }
    await made(`${RBAC}/${SHOP}/rolebindings`, bindingTo("edit", "owner"));
    await made(`${RBAC}/clusterroles`, GATEWAY_WRITER);
    await made(`${RBAC}/${SHOP}/rolebindings`, bindingTo("gateway-writer", "owner"));
    await made(PATHS.serviceaccounts, { metadata: { name: "owner" } });
    return new FencedApi(api, {
      owner: await tokenOf(api, "shop", "owner"),
      controller: await tokenOf(api, "istio-system", "ambit-controller"),
    });
  }

  ask({ verb, path, body, by }: Asked): Promise<TestAnswer> {
    const token = this.#tokens[by];
    const options = { token, ...(body !== undefined && { body }) };
    if (verb === "APPLY") {
      const contentType = "application/apply-patch+yaml";
      return this.api.request("PATCH", `${path}?fieldManager=test&force=true`, { ...options, contentType });
    }
    const strategic = verb === "PATCH" && !path.includes("/gateways/");
    const patch = `application/${strategic ? "strategic-" : ""}merge-patch+json`;
    return this.api.request(verb, path, { ...options, ...(verb === "PATCH" && { contentType: patch }) });
  }

  /** As the controller's own code has it. */
  controllerClient(): KubeClient {
    const { port, ca } = credentialsOf(this.api.server.adminKubeconfig);
    const server = `https://127.0.0.1:${port}`;
    return kubeClientFor({ server, caPem: ca, token: this.#tokens.controller });
  }

  async refused(asked: Asked, why: RegExp): Promise<void> {
    const answer = await this.ask(asked);
    assert.equal(answer.code, 422, answer.text);
    assert.match(String(answer.body["message"]), why);
  }

  async allowed(asked: Asked): Promise<Json> {
    const answer = await this.ask(asked);
    assert.ok([200, 201].includes(answer.code), answer.text);
    return answer.body;
  }

  /** As the controller makes one, with the controller's own rights. */
  async addWaypoint(name: string): Promise<void> {
    const automatic = name === "ambit-waypoint";
    const body = gateway(name, automatic ? { "ambit.io/binding": RECORD } : undefined);
    const object = automatic
      ? await this.allowed({ verb: "APPLY", path: `${PATHS.gateways}/${name}`, body, by: "controller" })
      : await this.allowed({ verb: "POST", path: PATHS.gateways, body, by: "owner" });
    this.#uids.set(name, jsonText(jsonObject(object["metadata"])["uid"]));
    const service = { spec: { ports: [{ port: 15_008 }] } };
    await this.#apply(PATHS.serviceaccounts, {
      apiVersion: "v1",
      kind: "ServiceAccount",
      ...this.named(name),
    });
    await this.#apply(PATHS.services, { apiVersion: "v1", kind: "Service", ...this.named(name), ...service });
    await this.#apply(PATHS.deployments, this.deployment(name));
    await this.podsOf(name, (pods) => pods.length === 1);
  }

  async #apply(path: string, body: Json): Promise<void> {
    const name = jsonText(jsonObject(body["metadata"])["name"]);
    await this.allowed({ verb: "APPLY", path: `${path}/${name}`, body, by: "controller" });
  }

  async podsOf(name: string, enough: (pods: readonly Json[]) => boolean): Promise<readonly Json[]> {
    const podsIn = ({ body }: TestAnswer): readonly Json[] => jsonList(body["items"]).map(jsonObject);
    return podsIn(
      await this.until(`${PATHS.pods}?labelSelector=app=${name}`, (answer) => enough(podsIn(answer))),
    );
  }

  /** Fails when that does not come true in five seconds. */
  async until(path: string, holds: (answer: TestAnswer) => boolean): Promise<TestAnswer> {
    const answer = await eventually(() => this.api.request("GET", path), holds);
    assert.ok(holds(answer), answer.text);
    return answer;
  }

  untilGone(path: string): Promise<TestAnswer> {
    return this.until(path, (answer) => answer.code === 404);
  }

  async replicaSetOf(name: string): Promise<Json> {
    const list = await this.api.request("GET", `${PATHS.replicasets}?labelSelector=app=${name}`);
    return jsonObject(jsonList(list.body["items"])[0]);
  }

  /** Name, label and owner of what belongs to a Gateway. */
  named(name: string): { readonly metadata: Json } {
    const uid = this.#uids.get(name) ?? "00000000-0000-0000-0000-000000000000";
    const apiVersion = "gateway.networking.k8s.io/v1";
    const ownerReferences = [{ apiVersion, kind: "Gateway", name, uid, controller: true }];
    return { metadata: { name, namespace: "shop", labels: LABEL, ownerReferences } };
  }

  deployment(name: string, spec: Json = podSpec(name)): Json {
    const labels = { app: name };
    const template = { metadata: { labels }, spec };
    return {
      apiVersion: "apps/v1",
      kind: "Deployment",
      ...this.named(name),
      spec: { selector: { matchLabels: labels }, template },
    };
  }
}

async function create(api: TestApi, path: string, body: Json): Promise<Json> {
  const answer = await api.request("POST", path, { body });
  assert.equal(answer.code, 201, answer.text);
  return answer.body;
}

async function tokenOf(api: TestApi, namespace: string, name: string): Promise<string> {
  const accounts = `/api/v1/namespaces/${namespace}/serviceaccounts`;
  const answer = await create(api, `${accounts}/${name}/token`, { spec: {} });
  return jsonText(jsonObject(answer["status"])["token"]);
}

function bindingTo(role: string, account: string): Json {
  return {
    metadata: { name: `${account}-${role}` },
    roleRef: { kind: "ClusterRole", name: role, apiGroup: "rbac.authorization.k8s.io" },
    subjects: [{ kind: "ServiceAccount", name: account, namespace: "shop" }],
  };
}

export function gateway(name: string, annotations?: Json): Json {
  return {
    apiVersion: "gateway.networking.k8s.io/v1",
    kind: "Gateway",
    metadata: { name, namespace: "shop", ...(annotations && { annotations }) },
    spec: {
      gatewayClassName: "istio-waypoint",
      listeners: [{ name: "mesh", port: 15_008, protocol: "HBONE" }],
    },
  };
}

export function podSpec(account: string, extra: Json = {}): Json {
  return {
    serviceAccountName: account,
    securityContext: { runAsNonRoot: true, runAsUser: 1337 },
    containers: [CONTAINER],
    ...extra,
  };
}
