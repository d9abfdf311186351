/** Who may do what, over the wire: certificates, tokens, RBAC, node restriction, the admission fences. Negative cases first. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { after, before, test } from "node:test";
import { parseAllDocuments } from "yaml";
import { dig, type JsonMap } from "./object.ts";
import { clientOf, eventually, startTestApi, type TestAnswer, type TestApi } from "./testing/test-api.ts";

let api: TestApi;
const PODS = "/api/v1/namespaces/shop/pods";
const ACCOUNTS = "/api/v1/namespaces/shop/serviceaccounts";

before(async () => {
  api = await startTestApi({ controllers: "storage" });
  await create("/api/v1/namespaces", { metadata: { name: "shop" } });
  await create("/api/v1/namespaces", { metadata: { name: "istio-system" } });
  for (const name of ["n1", "n2"]) await create("/api/v1/nodes", { metadata: { name } });
  await eventually(
    () => api.request("GET", `${ACCOUNTS}/default`),
    (answer) => answer.code === 200,
  );
});
after(() => api.close());

async function create(path: string, body: unknown): Promise<JsonMap> {
  const answer = await api.request("POST", path, { body });
  assert.equal(answer.code, 201, answer.text);
  return answer.body;
}

function pod(name: string, node: string, extra: JsonMap = {}): JsonMap {
  return { metadata: { name }, spec: { nodeName: node, containers: [{ name: "a", image: "a", ...extra }] } };
}

const uidOf = (object: unknown): string => String(dig(object, "metadata", "uid"));

async function tokenFor(account: string, spec: JsonMap, namespace = "shop"): Promise<TestAnswer> {
  return api.request("POST", `/api/v1/namespaces/${namespace}/serviceaccounts/${account}/token`, {
    body: { spec },
  });
}

async function review(token: string, audiences: readonly string[]): Promise<JsonMap> {
  const answer = await api.request("POST", "/apis/authentication.k8s.io/v1/tokenreviews", {
    body: { spec: { token, audiences } },
  });
  assert.equal(answer.code, 201);
  return answer.body["status"] as JsonMap;
}

test("an anonymous caller sees version and health, nothing else", async () => {
  const token = "";
  for (const path of ["/api", "/apis", "/openapi/v3", "/api/v1/namespaces"]) {
    const answer = await api.request("GET", path, { token, headers: { authorization: "" } });
    assert.ok(answer.code === 401 || answer.code === 403, `${path}: ${answer.code}`);
  }
});

test("a forged, truncated or foreign token is 401, never anonymous", async () => {
  const issued = String(dig((await tokenFor("default", {})).body, "status", "token"));
  const [header = "", payload = "", signature = ""] = issued.split(".");
  const claims = JSON.parse(Buffer.from(payload, "base64url").toString()) as JsonMap;
  const forged = Buffer.from(
    JSON.stringify({ ...claims, sub: "system:serviceaccount:kube-system:root" }),
  ).toString("base64url");
  for (const token of [
    `${header}.${forged}.${signature}`,
    `${header}.${payload}`,
    "x.y.z",
    `${issued}x`,
    "null",
  ]) {
    assert.equal((await api.request("GET", "/version", { token })).code, 401, token.slice(0, 20));
  }
  assert.equal((await api.request("GET", "/version", { token: issued })).code, 200);
});

test("a token is for its audience alone", async () => {
  const mesh = String(dig((await tokenFor("default", { audiences: ["istio-ca"] })).body, "status", "token"));
  assert.equal((await api.request("GET", "/version", { token: mesh })).code, 401);
  assert.equal((await review(mesh, ["other"]))["authenticated"], undefined);
  assert.deepEqual((await review(mesh, ["istio-ca", "other"]))["audiences"], ["istio-ca"]);
  const plain = String(dig((await tokenFor("default", {})).body, "status", "token"));
  assert.equal((await review(plain, ["istio-ca"]))["authenticated"], undefined);
});

test("a token is bound only to a pod that exists with that uid and account", async () => {
  const made = await create(PODS, pod("bound", "n1"));
  await create(ACCOUNTS, { metadata: { name: "other" } });
  const bind = (name: string, uid?: string): JsonMap => ({
    audiences: ["istio-ca"],
    boundObjectRef: { kind: "Pod", apiVersion: "v1", name, uid },
  });
  assert.equal((await tokenFor("default", bind("missing"))).code, 404);
  assert.equal((await tokenFor("default", bind("bound", "00000000-0000-0000-0000-000000000000"))).code, 409);
  assert.equal((await tokenFor("other", bind("bound", uidOf(made)))).code, 400);
  assert.equal((await tokenFor("default", { expirationSeconds: 599 })).code, 422);
  const issued = await tokenFor("default", bind("bound", uidOf(made)));
  assert.equal(issued.code, 201);
  const extra = dig(
    await review(String(dig(issued.body, "status", "token")), ["istio-ca"]),
    "user",
    "extra",
  ) as JsonMap;
  assert.deepEqual(extra["authentication.kubernetes.io/pod-uid"], [uidOf(made)]);
  assert.deepEqual(extra["authentication.kubernetes.io/node-name"], ["n1"]);
  assert.match(String((extra["authentication.kubernetes.io/node-uid"] as string[])[0]), /^[0-9a-f-]{36}$/);
});

test("a deleted pod's token is dead at once, and a new pod of that name does not revive it", async () => {
  const made = await create(PODS, pod("gone", "n1"));
  const bound = { boundObjectRef: { kind: "Pod", apiVersion: "v1", name: "gone", uid: uidOf(made) } };
  const token = String(dig((await tokenFor("default", bound)).body, "status", "token"));
  assert.equal((await api.request("GET", "/version", { token })).code, 200);
  await api.request("DELETE", `${PODS}/gone`, { body: { gracePeriodSeconds: 0 } });
  assert.equal((await api.request("GET", "/version", { token })).code, 401);
  await create(PODS, pod("gone", "n1"));
  assert.equal((await api.request("GET", "/version", { token })).code, 401);
});

test("an account has the rights its roles give, and no right to give more", async () => {
  const token = String(dig((await tokenFor("default", {})).body, "status", "token"));
  assert.equal((await api.request("GET", PODS, { token })).code, 403);
  const rbac = "/apis/rbac.authorization.k8s.io/v1/namespaces/shop";
  const rules = [
    { apiGroups: [""], resources: ["pods"], verbs: ["get", "list"] },
    { apiGroups: ["rbac.authorization.k8s.io"], resources: ["roles", "rolebindings"], verbs: ["create"] },
  ];
  await create(`${rbac}/roles`, { metadata: { name: "reader" }, rules });
  await create(`${rbac}/rolebindings`, {
    metadata: { name: "reader" },
    roleRef: { kind: "Role", name: "reader", apiGroup: "rbac.authorization.k8s.io" },
    subjects: [{ kind: "ServiceAccount", name: "default", namespace: "shop" }],
  });
  assert.equal((await api.request("GET", PODS, { token })).code, 200);
  assert.equal((await api.request("DELETE", `${PODS}/bound`, { token })).code, 403);
  assert.equal(
    (await api.request("GET", "/api/v1/pods", { token })).code,
    403,
    "a role does not reach other namespaces",
  );
  const grant = (verbs: readonly string[]): Promise<TestAnswer> =>
    api.request("POST", `${rbac}/roles`, {
      token,
      body: { metadata: { name: `r-${verbs[0]}` }, rules: [{ apiGroups: [""], resources: ["pods"], verbs }] },
    });
  assert.equal((await grant(["delete"])).code, 403);
  assert.equal((await grant(["get"])).code, 201);
  const bind = {
    metadata: { name: "up" },
    roleRef: { kind: "ClusterRole", name: "cluster-admin", apiGroup: "rbac.authorization.k8s.io" },
    subjects: [],
  };
  assert.equal((await api.request("POST", `${rbac}/rolebindings`, { token, body: bind })).code, 403);
  const headers = { "impersonate-user": "admin" };
  assert.equal((await api.request("GET", PODS, { token, headers })).code, 403);
});

test("impersonation by an administrator has the other's rights, not his own", async () => {
  const headers = { "impersonate-user": "system:serviceaccount:shop:other" };
  assert.equal((await api.request("GET", PODS, { headers })).code, 403);
  const who = await api.request("POST", "/apis/authentication.k8s.io/v1/selfsubjectreviews", {
    headers,
    body: {},
  });
  assert.equal(dig(who.body, "status", "userInfo", "username"), "system:serviceaccount:shop:other");
});

test("a kubelet writes its own node and its own pods, nothing else", async () => {
  const kubelet = clientOf(api.server.issueClientKubeconfig("system:node:n1", ["system:nodes"]));
  const patch = (path: string, body: unknown): Promise<TestAnswer> =>
    kubelet.request("PATCH", path, { body, contentType: "application/merge-patch+json" });
  const other = await create(PODS, pod("on-n2", "n2"));
  await create(PODS, pod("on-n1", "n1"));
  try {
    const running = { status: { phase: "Running" } };
    assert.equal((await patch(`${PODS}/on-n2/status`, running)).code, 403);
    assert.equal((await patch(`${PODS}/on-n1/status`, running)).code, 200);
    assert.equal((await patch(`${PODS}/on-n1/status`, { metadata: { labels: { a: "b" } } })).code, 403);
    assert.equal((await patch("/api/v1/nodes/n2/status", { status: {} })).code, 403);
    assert.equal(
      (
        await patch("/api/v1/nodes/n1", {
          metadata: { labels: { "x.node-restriction.kubernetes.io/y": "1" } },
        })
      ).code,
      403,
    );
    assert.equal((await patch("/api/v1/nodes/n1/status", { status: { phase: "x" } })).code, 200);
    assert.equal((await kubelet.request("DELETE", `${PODS}/on-n2`)).code, 403);
    const ask = {
      spec: { boundObjectRef: { kind: "Pod", apiVersion: "v1", name: "on-n2", uid: uidOf(other) } },
    };
    assert.equal((await kubelet.request("POST", `${ACCOUNTS}/default/token`, { body: ask })).code, 403);
    assert.equal(
      (await kubelet.request("POST", `${ACCOUNTS}/default/token`, { body: { spec: {} } })).code,
      403,
    );
    const mirror = {
      metadata: { name: "m", annotations: { "kubernetes.io/config.mirror": "x" } },
      spec: { nodeName: "n1", containers: [{ name: "a", image: "a" }] },
    };
    const made = await kubelet.request("POST", PODS, { body: mirror });
    assert.equal(made.code, 201, made.text);
    assert.equal(dig(made.body, "spec", "serviceAccountName"), undefined);
  } finally {
    kubelet.close();
  }
});

test("the admission fences of the manifests hold", async (t) => {
  const text = readFileSync(new URL("../../deploy/30-admission.yaml", import.meta.url), "utf8");
  for (const document of parseAllDocuments(text)) {
    const body = document.toJS() as JsonMap;
    const plural =
      body["kind"] === "ValidatingAdmissionPolicy"
        ? "validatingadmissionpolicies"
        : "validatingadmissionpolicybindings";
    await create(`/apis/admissionregistration.k8s.io/v1/${plural}`, body);
  }
  const annotation = { metadata: { annotations: { "ambient.istio.io/redirection": "enabled" } } };
  const contentType = "application/merge-patch+json";
  await t.test("a probe that names another host is refused", async () => {
    const probe = (host: string): JsonMap => ({ readinessProbe: { httpGet: { port: 80, host } } });
    const bad = await api.request("POST", PODS, { body: pod("probing", "n1", probe("10.1.2.3")) });
    assert.equal(bad.code, 422);
    assert.match(String(bad.body["message"]), /ambit-probe-host.*may not name another host/);
    const hook = { lifecycle: { preStop: { httpGet: { port: 80, host: "victim" } } } };
    assert.equal((await api.request("POST", PODS, { body: pod("hooking", "n1", hook) })).code, 422);
    assert.equal(
      (await api.request("POST", PODS, { body: pod("probing", "n1", probe("127.0.0.1")) })).code,
      201,
    );
  });
  await t.test("nobody but the agent writes the redirection annotation", async () => {
    assert.equal((await api.request("PATCH", `${PODS}/on-n1`, { contentType, body: annotation })).code, 422);
    assert.equal(
      (await api.request("PATCH", `${PODS}/on-n1/status`, { contentType, body: annotation })).code,
      422,
    );
    assert.equal(
      (
        await api.request("PATCH", `${PODS}/on-n1`, {
          contentType,
          body: { metadata: { labels: { fine: "yes" } } },
        })
      ).code,
      200,
    );
  });
  await t.test("the agent writes that annotation on its own node, and nothing else", async () => {
    await create("/api/v1/namespaces/istio-system/serviceaccounts", { metadata: { name: "istio-cni" } });
    const rbac = "/apis/rbac.authorization.k8s.io/v1";
    await create(`${rbac}/clusterroles`, {
      metadata: { name: "agent" },
      rules: [{ apiGroups: [""], resources: ["pods/status"], verbs: ["patch"] }],
    });
    await create(`${rbac}/clusterrolebindings`, {
      metadata: { name: "agent" },
      roleRef: { kind: "ClusterRole", name: "agent", apiGroup: "rbac.authorization.k8s.io" },
      subjects: [{ kind: "ServiceAccount", name: "istio-cni", namespace: "istio-system" }],
    });
    const self = await create("/api/v1/namespaces/istio-system/pods", {
      metadata: { name: "agent" },
      spec: { nodeName: "n1", serviceAccountName: "istio-cni", containers: [{ name: "a", image: "a" }] },
    });
    const bound = { boundObjectRef: { kind: "Pod", apiVersion: "v1", name: "agent", uid: uidOf(self) } };
    const token = String(dig((await tokenFor("istio-cni", bound, "istio-system")).body, "status", "token"));
    const unbound = String(dig((await tokenFor("istio-cni", {}, "istio-system")).body, "status", "token"));
    const patch = (name: string, body: unknown, by = token): Promise<TestAnswer> =>
      api.request("PATCH", `${PODS}/${name}/status`, { token: by, contentType, body });
    assert.equal((await patch("on-n2", annotation)).code, 422, "another node's pod");
    assert.equal((await patch("on-n1", annotation, unbound)).code, 422, "a token of no pod");
    assert.equal((await patch("on-n1", { status: { podIP: "10.0.0.9" } })).code, 422, "an address");
    assert.equal((await patch("on-n1", { metadata: { labels: { app: "x" } } })).code, 422, "a label");
    assert.equal(
      (await patch("on-n1", { metadata: { annotations: { other: "x" } } })).code,
      422,
      "another annotation",
    );
    const good = await patch("on-n1", annotation);
    assert.equal(good.code, 200, good.text);
    assert.equal(dig(good.body, "metadata", "annotations", "ambient.istio.io/redirection"), "enabled");
  });
});

/** What each part of the product may and may not do, by its own manifests: `verb group/resource[/sub] [namespace] [name]`. */
const ROLES: readonly (readonly [account: string, allowed: readonly string[], denied: readonly string[]])[] =
  [
    [
      "ambit-controller",
      [
        "watch pods",
        "list nodes",
        "list discovery.k8s.io/endpointslices",
        "patch security.istio.io/authorizationpolicies/status shop",
        "create authentication.k8s.io/tokenreviews",
        "create configmaps shop",
        "patch configmaps shop istio-ca-root-cert",
        "update secrets istio-system istio-ca-secret",
        "create coordination.k8s.io/leases istio-system",
      ],
      [
        "list secrets",
        "get secrets istio-system other",
        "update pods shop",
        "patch configmaps shop other",
        "create pods shop",
        "create serviceaccounts/token shop",
        "impersonate users",
        "update coordination.k8s.io/leases istio-system other",
        "get secrets shop istio-ca-secret",
      ],
    ],
    [
      "istio-cni",
      [
        "watch pods",
        "patch pods/status shop",
        "create events shop",
        "get apps/daemonsets istio-system istio-cni-node",
      ],
      [
        "patch pods shop",
        "delete pods shop",
        "list secrets shop",
        "create pods/exec shop",
        "get apps/daemonsets istio-system ztunnel",
        "patch nodes/status",
      ],
    ],
    [
      "ztunnel",
      [],
      ["list pods", "get secrets istio-system istio-ca-secret", "create authentication.k8s.io/tokenreviews"],
    ],
  ];

async function mayDo(account: string, text: string): Promise<boolean> {
  const [verb = "", what = "", namespace = "", name = ""] = text.split(" ");
  const [, group = "", resource = "", subresource = ""] =
    /^(?:([a-z0-9.]+\.[a-z0-9.]+|apps)\/)?([a-z]+)(?:\/([a-z]+))?$/.exec(what) ?? [];
  const spec = {
    user: `system:serviceaccount:istio-system:${account}`,
    groups: ["system:serviceaccounts", "system:authenticated"],
    resourceAttributes: { verb, group, resource, subresource, namespace, name },
  };
  const answer = await api.request("POST", "/apis/authorization.k8s.io/v1/subjectaccessreviews", {
    body: { spec },
  });
  return dig(answer.body, "status", "allowed") === true;
}

test("the product's roles allow what each part does and nothing beside it", async () => {
  for (const file of ["10-namespace.yaml", "20-rbac.yaml"]) {
    for (const document of parseAllDocuments(
      readFileSync(new URL(`../../deploy/${file}`, import.meta.url), "utf8"),
    )) {
      const body = document.toJS() as JsonMap;
      const kind = String(body["kind"]);
      const base = kind.includes("Role") ? "/apis/rbac.authorization.k8s.io/v1" : "/api/v1";
      const namespace = kind.startsWith("Cluster") || kind === "Namespace" ? "" : "/namespaces/istio-system";
      const plural = `${kind.toLowerCase()}s`;
      await api.request("POST", `${base}${namespace}/${plural}`, { body });
    }
  }
  for (const [account, allowed, denied] of ROLES) {
    for (const text of allowed) assert.equal(await mayDo(account, text), true, `${account} should: ${text}`);
    for (const text of denied)
      assert.equal(await mayDo(account, text), false, `${account} should not: ${text}`);
  }
});

test("applying an object that is not there needs the right to create it", async () => {
  const rbac = "/apis/rbac.authorization.k8s.io/v1/namespaces/shop";
  await create(ACCOUNTS, { metadata: { name: "patcher" } });
  await create(`${rbac}/roles`, {
    metadata: { name: "patcher" },
    rules: [{ apiGroups: [""], resources: ["configmaps"], verbs: ["patch", "get"] }],
  });
  await create(`${rbac}/rolebindings`, {
    metadata: { name: "patcher" },
    roleRef: { kind: "Role", name: "patcher", apiGroup: "rbac.authorization.k8s.io" },
    subjects: [{ kind: "ServiceAccount", name: "patcher", namespace: "shop" }],
  });
  const token = String(dig((await tokenFor("patcher", {})).body, "status", "token"));
  const apply = (name: string): Promise<TestAnswer> =>
    api.request("PATCH", `/api/v1/namespaces/shop/configmaps/${name}?fieldManager=m`, {
      token,
      contentType: "application/apply-patch+yaml",
      body: { apiVersion: "v1", kind: "ConfigMap", metadata: { name }, data: { a: "1" } },
    });
  assert.equal((await apply("absent")).code, 403);
  await create("/api/v1/namespaces/shop/configmaps", { metadata: { name: "present" } });
  assert.equal((await apply("present")).code, 200);
});
