/**
 * RBAC is exactly what is used. Controller and agent talk to a recorded API: every request must be covered by a rule of
 * deploy/20-rbac.yaml or 21-rbac-waypoints.yaml, and every single right in them must have been used by some request.
 */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import type { V1PolicyRule } from "@kubernetes/client-node";
import {
  eventually,
  type Harness,
  namespace,
  policy,
  ROOTS,
  startHarness,
  ztunnelToken,
} from "#controller/test/harness.ts";
import { waypointApi } from "#controller/waypoints/objects/waypoint-api.ts";
import { readWaypointGateway } from "#controller/waypoints/gateway/waypoint-gateway.ts";
import { NO_RECORD } from "#controller/waypoints/gateway/waypoint-record.ts";
import { systemClock } from "#core/base/clock.ts";
import { CaClient } from "#core/identity/ca-client.ts";
import { jsonList, jsonObject, jsonText } from "#core/k8s/json-read.ts";
import { kubeClientFor } from "#core/k8s/load-config.ts";
import { projectCustom } from "#core/k8s/project.ts";
import { spiffeId } from "#core/model/spiffe-id.ts";
import { silentLogger } from "#core/runtime/log.ts";
import { FakeKubeApi, type FakeRequest } from "#core/testing/fake-kube-api.ts";
import { CaptureEvents } from "#istio-cni/agent/capture-events.ts";
import { ClusterView } from "#istio-cni/agent/cluster-view.ts";
import { podRef } from "#istio-cni/agent/pod-ref.ts";
import { RedirectionAnnotator } from "#istio-cni/agent/redirection-annotation.ts";
import { aPod } from "#istio-cni/agent/test/objects.ts";
import { whyStopping } from "#istio-cni/agent/uninstall-check.ts";
import { type AccessRequest, ruleAllows } from "#local/apiserver/auth/rbac.ts";
import { requestInfo } from "#local/apiserver/http/request-info.ts";
import { parseAllDocuments } from "yaml";

type Json = Readonly<Record<string, unknown>>;

const DOCUMENTS: readonly Json[] = ["20-rbac.yaml", "21-rbac-waypoints.yaml"]
  .map((file) => readFileSync(join(import.meta.dirname, "..", "deploy", file), "utf8"))
  .flatMap((text) => parseAllDocuments(text))
  .map((document) => jsonObject(document.toJS()));

/** One rule, and where it holds: "" is everywhere. */
interface Right {
  readonly namespace: string;
  readonly rule: V1PolicyRule;
}

function rightsOf(role: string): readonly Right[] {
  return DOCUMENTS.filter(
    (d) => jsonObject(d["metadata"])["name"] === role && d["rules"] !== undefined,
  ).flatMap((d) =>
    (d["rules"] as readonly V1PolicyRule[]).map((rule) => ({
      namespace: jsonText(jsonObject(d["metadata"])["namespace"]),
      rule,
    })),
  );
}

/** Each single permission of a right as a right of its own. */
function singles({ namespace, rule }: Right): readonly Right[] {
  const names: readonly (string | undefined)[] = rule.resourceNames ?? [undefined];
  return (rule.apiGroups ?? []).flatMap((group) =>
    (rule.resources ?? []).flatMap((resource) =>
      rule.verbs.flatMap((verb) =>
        names.map((name) => ({
          namespace,
          rule: {
            apiGroups: [group],
            resources: [resource],
            verbs: [verb],
            ...(name === undefined ? {} : { resourceNames: [name] }),
          },
        })),
      ),
    ),
  );
}

/** What a request needs. Applying an object may create it, which needs that right too. */
function accessesOf(request: FakeRequest): readonly AccessRequest[] {
  const info = requestInfo(request.method, request.path, request.query);
  if (info.kind !== "resource") throw new Error(`${request.method} ${request.path} is about no resource`);
  const { verb, group, plural: resource, subresource, namespace, authorizedName: name } = info;
  const access = { verb, group, resource, subresource, namespace, name };
  const applies = request.method === "PATCH" && request.query.has("fieldManager") && subresource === "";
  return applies ? [access, { ...access, verb: "create", name: "" }] : [access];
}

const covers = (right: Right, access: AccessRequest): boolean =>
  (right.namespace === "" || right.namespace === access.namespace) && ruleAllows(right.rule, access);

const textOf = ({ namespace, rule }: Right): string =>
  `${rule.verbs.join()} ${rule.apiGroups?.join()}/${rule.resources?.join()} ${rule.resourceNames?.join() ?? ""} ${namespace}`;

/** `beside`: another role of the same account, whose rights a test of its own looks at. */
function assertExact(role: string, requests: readonly FakeRequest[], beside?: string): void {
  const rights = rightsOf(role);
  const all = [...rights, ...(beside === undefined ? [] : rightsOf(beside))];
  const accesses = requests.flatMap(accessesOf);
  const refused = accesses.filter((access) => !all.some((right) => covers(right, access)));
  assert.deepEqual(refused, [], `${role} may not do what it does`);
  const unused = rights
    .flatMap(singles)
    .filter((right) => !accesses.some((access) => covers(right, access)))
    .map(textOf);
  assert.deepEqual(unused, [], `${role} has rights that it does not use`);
  assert.ok(requests.length > 0);
}

const GATEWAY_API = "/apis/gateway.networking.k8s.io/v1";

async function issueCertificate(h: Harness): Promise<void> {
  const token = ztunnelToken(h, 1);
  const ca = new CaClient(
    {
      log: silentLogger,
      readRoots: () => Promise.resolve(h.rootsPem()),
      readToken: () => Promise.resolve(token),
    },
    {
      address: `localhost:${h.controller.ports().grpc}`,
      serverName: "istiod.istio-system.svc",
      clusterId: "Kubernetes",
      validitySeconds: 3_600,
      impersonate: true,
      timeoutMs: 5_000,
    },
  );
  const identity = { trustDomain: "cluster.local", namespace: "shop", serviceAccount: "frontend" };
  await ca.issue(spiffeId(identity), AbortSignal.timeout(5_000));
  ca.close();
}

test("the controller has exactly the rights that it uses", { timeout: 30_000 }, async (t) => {
  const h = await startHarness();
  t.after(() => h.api.close());
  h.api.put(ROOTS.authorizationPolicies, policy("shop", "p", { rules: [{}] }));
  h.api.put(ROOTS.peerAuthentications, policy("shop", "q", { mtls: { mode: "STRICT" } }));
  await issueCertificate(h);
  const written = (path: string): boolean =>
    h.api.requests.some((r) => r.method === "PATCH" && r.path.includes(path));
  for (const path of ["authorizationpolicies/p/status", "peerauthentications/q/status", "configmaps/"])
    await eventually(path, () => written(path));
  await h.controller.stop(); // gives the lease back
  assertExact("ambit-controller", h.api.requests, "ambit-waypoints");
});

test(
  "the controller makes waypoints with exactly the rights of 21-rbac-waypoints.yaml",
  { timeout: 30_000 },
  async (t) => {
    const seed = (api: FakeKubeApi): void => {
      api.put(ROOTS.namespaces, namespace("shop", { "istio.io/dataplane-mode": "ambient" }));
      const spec = { controllerName: "istio.io/mesh-controller" };
      const labels = { "istio.io/use-waypoint": "nowhere" };
      api.put(ROOTS.services, { metadata: { name: "reviews", namespace: "shop", labels }, spec: {} });
      api.put(`${GATEWAY_API}/gatewayclasses`, { metadata: { name: "istio-waypoint" }, spec });
    };
    const h = await startHarness({ seed });
    t.after(() => h.stop());
    const rules = [{ to: [{ operation: { methods: ["GET"] } }] }];
    h.api.put(ROOTS.authorizationPolicies, policy("shop", "items", { rules }));
    await eventually("status of the Gateway", () =>
      h.api.requests.some((r) => r.method === "PATCH" && r.path.endsWith("/gateways/ambit-waypoint/status")),
    );
    // What takes minutes in the life of a waypoint: its image changes, and it goes.
    const other = await FakeKubeApi.start();
    t.after(() => other.close());
    let image = "a";
    const fixed = {
      clusterId: "c",
      network: "",
      trustDomain: "td",
      trustDomainAliases: [],
      controllerAddress: "https://c",
    };
    const waypoints = waypointApi(kubeClientFor({ server: other.url }), () => ({ ...fixed, image }));
    await waypoints.createGateway("shop", NO_RECORD);
    const stored = other.get(`${GATEWAY_API}/gateways`, "shop/ambit-waypoint");
    const gateway = readWaypointGateway(projectCustom(stored));
    assert.ok(gateway);
    await waypoints.provide(gateway);
    image = "b";
    for (const root of [ROOTS.services, ROOTS.serviceAccounts]) {
      const object = jsonObject(other.get(root, gateway.key));
      other.put(root, { ...object, metadata: { ...jsonObject(object["metadata"]), annotations: {} } });
    }
    await waypoints.provide(gateway);
    await waypoints.removePods(gateway);
    await waypoints.deleteGateway(gateway);
    assertExact("ambit-waypoints", [...h.api.requests, ...other.requests], "ambit-controller");
  },
);

test("the agent has exactly the rights that it uses", { timeout: 30_000 }, async (t) => {
  const api = await FakeKubeApi.start();
  t.after(() => api.close());
  const client = kubeClientFor({ server: api.url });
  const stop = new AbortController();
  const options = { client, clock: systemClock, log: silentLogger };
  const view = new ClusterView({
    ...options,
    nodeName: "n1",
    onPods: () => undefined,
    onPolicies: () => undefined,
  });
  view.start();
  const watches = (): number =>
    new Set(api.requests.filter((r) => r.query.has("watch")).map((r) => r.path)).size;
  await eventually("four watches", () => watches() === 4);
  const pod = podRef(aPod());
  await view.findPod(pod.namespace, pod.name, pod.uid);
  await view.findNamespace("unseen");
  await new RedirectionAnnotator({ ...options, signal: stop.signal }).set(pod, true);
  await new CaptureEvents({ ...options, nodeName: "n1" }).refused(pod, "no ztunnel");
  await whyStopping(client, "istio-system");
  view.stop();
  stop.abort();
  assertExact("ambit-agent", api.requests);
});

test("ztunnel has no right at all", () => {
  const bound = DOCUMENTS.flatMap((d) => jsonList(d["subjects"]).map((s) => jsonText(jsonObject(s)["name"])));
  assert.deepEqual([...new Set(bound)].toSorted(), ["ambit-controller", "istio-cni"]);
});

test("nobody has what lets one become somebody else or read every secret", () => {
  const rules = ["ambit-controller", "ambit-waypoints", "ambit-agent"].flatMap(rightsOf).flatMap(singles);
  const has = (resource: string, verbs: readonly string[]): readonly string[] =>
    rules
      .filter(({ rule }) => rule.resources?.[0] === resource && verbs.includes(rule.verbs[0] ?? ""))
      .map(textOf);
  for (const { rule } of rules)
    assert.ok(![...rule.verbs, ...(rule.apiGroups ?? []), ...(rule.resources ?? [])].includes("*"));
  assert.deepEqual(has("pods", ["create", "update", "patch", "delete"]), []);
  const never = ["serviceaccounts/token", "pods/exec", "pods/attach", "nodes/proxy", "pods/proxy", "users"];
  assert.deepEqual(rules.filter(({ rule }) => never.includes(rule.resources?.[0] ?? "")).map(textOf), []);
  assert.deepEqual(
    rules.filter(({ rule }) => ["impersonate", "bind", "escalate"].includes(rule.verbs[0] ?? "")).map(textOf),
    [],
  );
  const secrets = rules.filter(({ rule }) => rule.resources?.[0] === "secrets");
  assert.ok(secrets.length > 0);
  for (const { namespace, rule } of secrets) {
    assert.equal(namespace, "istio-system");
    assert.ok(["istio-ca-secret", "cacerts"].includes(rule.resourceNames?.[0] ?? ""));
  }
});
