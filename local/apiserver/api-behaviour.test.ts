/** What clients rely on, over the wire: deletion, hostile input, kubelet streams, informers, restarts. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import http from "node:http";
import https from "node:https";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { CoreV1Api, KubeConfig, makeInformer, type V1ConfigMap } from "@kubernetes/client-node";
import { WebSocket, WebSocketServer } from "ws";
import { dig, digList, type JsonMap } from "./object.ts";
import { credentialsOf, eventually, nameOf, startTestApi, type TestApi } from "./testing/test-api.ts";

let api: TestApi;
let kubelet: http.Server;
const directory = mkdtempSync(join(tmpdir(), "ambit-kubelet-"));
const socketPath = join(directory, "kubelet.sock");
const MAPS = "/api/v1/namespaces/shop/configmaps";
const PODS = "/api/v1/namespaces/shop/pods";

before(async () => {
  kubelet = http.createServer((request, response) => response.end(`log of ${request.url}`));
  const streams = new WebSocketServer({ noServer: true, handleProtocols: () => "v5.channel.k8s.io" });
  kubelet.on("upgrade", (request, socket, head) => {
    streams.handleUpgrade(request, socket, head, (client) =>
      client.on("message", (data: Buffer) => client.send(`${request.url} ${data.toString("utf8")}`)),
    );
  });
  await new Promise<void>((resolve) => void kubelet.listen(socketPath, resolve));
  api = await startTestApi({ kubelets: { socketPath: (node) => (node === "n1" ? socketPath : undefined) } });
  await api.request("POST", "/api/v1/namespaces", { body: { metadata: { name: "shop" } } });
  for (const name of ["n1", "n2"]) {
    await api.request("POST", "/api/v1/nodes", { body: { metadata: { name } } });
    const status = { conditions: [{ type: "Ready", status: "True" }] };
    await api.request("PATCH", `/api/v1/nodes/${name}/status`, {
      contentType: "application/merge-patch+json",
      body: { status },
    });
  }
  await eventually(
    () => api.request("GET", "/api/v1/namespaces/shop/serviceaccounts/default"),
    (answer) => answer.code === 200,
  );
});
after(async () => {
  await api.close();
  kubelet.close();
  rmSync(directory, { recursive: true, force: true });
});

const onNode = (name: string, nodeName: string): JsonMap => ({
  metadata: { name },
  spec: { nodeName, containers: [{ name: "a", image: "a" }] },
});

test("a running pod waits for its kubelet; a second deletion only shortens", async () => {
  await api.request("POST", PODS, { body: onNode("slow", "n1") });
  const first = await api.request("DELETE", `${PODS}/slow`);
  assert.equal(dig(first.body, "metadata", "deletionGracePeriodSeconds"), 30);
  const second = await api.request("DELETE", `${PODS}/slow`, { body: { gracePeriodSeconds: 60 } });
  assert.equal(dig(second.body, "metadata", "deletionGracePeriodSeconds"), 30);
  const third = await api.request("DELETE", `${PODS}/slow`, { body: { gracePeriodSeconds: 5 } });
  assert.equal(dig(third.body, "metadata", "deletionGracePeriodSeconds"), 5);
  assert.equal((await api.request("GET", `${PODS}/slow`)).code, 200);
  await api.request("DELETE", `${PODS}/slow`, { body: { gracePeriodSeconds: 0 } });
  assert.equal((await api.request("GET", `${PODS}/slow`)).code, 404);
});

test("logs and exec reach the kubelet of the pod's node", async () => {
  await api.request("POST", PODS, { body: onNode("talks", "n1") });
  await api.request("POST", PODS, { body: onNode("mute", "n2") });
  assert.equal((await api.request("GET", `${PODS}/mute/log`)).code, 503);
  assert.equal((await api.request("GET", `${PODS}/talks/log?container=nope`)).code, 400);
  const log = await api.request("GET", `${PODS}/talks/log?tailLines=5`);
  assert.equal(log.text, "log of /containerLogs/shop/talks/a?tailLines=5");
  assert.equal((await api.request("POST", `${PODS}/talks/exec?command=ls`)).code, 501);
  const { port, ca, cert, key } = credentialsOf(api.server.adminKubeconfig);
  const client = new WebSocket(
    `wss://127.0.0.1:${port}${PODS}/talks/exec?command=ls&stdout=true`,
    "v5.channel.k8s.io",
    { ca, cert, key },
  );
  const said = await new Promise<string>((resolve, reject) => {
    client.on("error", reject);
    client.on("open", () => client.send("hello"));
    client.on("message", (data: Buffer) => resolve(data.toString("utf8")));
  });
  client.close();
  assert.equal(said, "/exec/shop/talks/a?command=ls&stdout=true hello");
});

test("hostile input is refused with a Status and disturbs nothing", async () => {
  const post = (body: string | Buffer, contentType = "application/json"): ReturnType<TestApi["request"]> =>
    api.request("POST", MAPS, { body, contentType });
  assert.equal((await post("{".repeat(50_000))).code, 400);
  assert.equal((await post(`{"metadata":${"[".repeat(5000)}`)).code, 400);
  assert.equal((await post(`{"a":"${"x".repeat(3 << 20)}"}`)).code, 413);
  assert.equal((await post("not json")).code, 400);
  assert.equal(
    (await post(Buffer.from("6b3873000a04ff", "hex"), "application/vnd.kubernetes.protobuf")).code,
    400,
  );
  assert.equal((await post("{}", "application/cbor")).code, 415);
  const polluted = await post('{"metadata":{"name":"proto"},"data":{"__proto__":"x","constructor":"y"}}');
  assert.equal(polluted.code, 201);
  assert.match(polluted.text, /"__proto__":"x"/);
  assert.equal(({} as JsonMap)["polluted"], undefined);
  assert.equal((await api.request("GET", `${MAPS}?continue=e30`)).code, 400);
  assert.equal((await api.request("GET", `${MAPS}?limit=-1`)).code, 400);
  assert.equal((await api.request("GET", `${MAPS}?labelSelector=${encodeURIComponent("a in (")}`)).code, 400);
  assert.equal((await api.request("GET", `${MAPS}?fieldSelector=data.x%3D1`)).code, 400);
  assert.equal((await api.request("GET", "/api/v1/namespaces/%zz/pods")).code, 404);
  assert.equal(
    (await api.request("GET", MAPS, { headers: { accept: "application/vnd.kubernetes.protobuf" } })).code,
    406,
  );
  const crd = (schema: JsonMap): JsonMap => ({
    metadata: { name: "bads.x.example" },
    spec: {
      group: "x.example",
      scope: "Cluster",
      names: { plural: "bads", kind: "Bad" },
      versions: [
        {
          name: "v1",
          served: true,
          storage: true,
          schema: { openAPIV3Schema: { type: "object", properties: { a: schema } } },
        },
      ],
    },
  });
  const crds = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
  assert.equal((await api.request("POST", crds, { body: crd({ type: "string", pattern: "(" }) })).code, 422);
  assert.equal(
    (
      await api.request("POST", crds, {
        body: crd({ type: "string", "x-kubernetes-validations": [{ rule: "self.?x" }] }),
      })
    ).code,
    422,
  );
  assert.equal((await api.request("GET", MAPS)).code, 200);
});

test("an informer of client-node sees everything once and follows", async () => {
  const config = new KubeConfig();
  config.loadFromString(api.server.adminKubeconfig);
  const core = config.makeApiClient(CoreV1Api);
  const names = new Set<string>();
  const informer = makeInformer<V1ConfigMap>(config, MAPS, () =>
    core.listNamespacedConfigMap({ namespace: "shop" }),
  );
  const seen = (object: V1ConfigMap): void => void names.add(object.metadata?.name ?? "");
  informer.on("add", seen);
  informer.on("delete", (object) => void names.delete(object.metadata?.name ?? ""));
  await informer.start();
  assert.ok(names.has("kube-root-ca.crt"));
  await api.request("POST", MAPS, { body: { metadata: { name: "live" } } });
  const until = async (holds: () => boolean): Promise<void> =>
    void (await eventually(() => api.request("GET", MAPS), holds));
  await until(() => names.has("live"));
  assert.ok(names.has("live"));
  await api.request("DELETE", `${MAPS}/live`);
  await until(() => !names.has("live"));
  assert.ok(!names.has("live"));
  await informer.stop();
});

test("a restart keeps keys and objects, and every old watch must list again", async () => {
  const dataDir = mkdtempSync(join(tmpdir(), "ambit-restart-"));
  try {
    const first = await startTestApi({ dataDir });
    const made = await first.request("POST", "/api/v1/namespaces/default/configmaps", {
      body: { metadata: { name: "kept" } },
    });
    const revision = Number(dig(made.body, "metadata", "resourceVersion"));
    const kubeconfig = first.server.adminKubeconfig;
    await first.close();
    const second = await startTestApi({ dataDir });
    assert.equal(credentialsOf(second.server.adminKubeconfig).cert, credentialsOf(kubeconfig).cert);
    const list = await second.request("GET", "/api/v1/namespaces/default/configmaps");
    assert.ok((list.body["items"] as unknown[]).map(nameOf).includes("kept"));
    assert.ok(Number(dig(list.body, "metadata", "resourceVersion")) > revision);
    for (const path of ["/api/v1/configmaps", "/apis/networking.k8s.io/v1/networkpolicies"]) {
      const [event] = await second.watch(`${path}?watch=true&resourceVersion=${revision}`, () => true);
      assert.equal(
        dig(event, "object", "code"),
        410,
        `${path}: the events of the last run are gone, for empty kinds too`,
      );
    }
    await second.close();
  } finally {
    rmSync(dataDir, { recursive: true, force: true });
  }
});

test("two hundred idle watches leave the server answering", async () => {
  const { port, ca, cert, key } = credentialsOf(api.server.adminKubeconfig);
  const agent = new https.Agent({ ca, cert, key, maxSockets: 200, keepAlive: true });
  const requests = await Promise.all(
    Array.from(
      { length: 200 },
      () =>
        new Promise<http.ClientRequest>((resolve, reject) => {
          const request = https.get(
            {
              host: "127.0.0.1",
              port,
              agent,
              path: `${MAPS}?watch=true&resourceVersion=0&labelSelector=none%3D1`,
            },
            () => resolve(request),
          );
          request.on("error", reject);
        }),
    ),
  );
  assert.equal((await api.request("GET", MAPS)).code, 200);
  for (const request of requests) request.destroy();
  agent.destroy();
});

test("the API publishes itself in one family, as a real one does, though it listens in both and services are dual stack", async () => {
  const dual = await startTestApi({
    serviceCidrV6: "fd96::/112",
    endpoints: ["172.30.0.11", "fd30::b"].map((host) => ({ host, port: 6443 })),
  });
  try {
    const { body: service } = await dual.request("GET", "/api/v1/namespaces/default/services/kubernetes");
    assert.deepEqual(dig(service, "spec", "clusterIPs"), ["10.96.0.1"]);
    assert.equal(dig(service, "spec", "ipFamilyPolicy"), "SingleStack");
    const slices = await dual.request("GET", "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices");
    const items = slices.body["items"] as readonly JsonMap[];
    assert.deepEqual(
      items.map((slice) => [
        nameOf(slice),
        digList(slice, "endpoints").map((endpoint) => dig(endpoint, "addresses")),
      ]),
      [["kubernetes", [["172.30.0.11"]]]],
    );
  } finally {
    await dual.close();
  }
});
