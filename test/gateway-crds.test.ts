/** Gateway and GatewayClass as the local API serves them: the standard's checks, defaults, columns, and a status of their own. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { startTestApi, type TestAnswer, type TestApi } from "#local/apiserver/testing/test-api.ts";
import { parse } from "yaml";

const GROUP = "/apis/gateway.networking.k8s.io/v1";
const GATEWAYS = `${GROUP}/namespaces/shop/gateways`;
const TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io";

let api: TestApi;
before(async () => {
  api = await startTestApi({ controllers: "storage" });
  for (const file of ["gateway-class.yaml", "gateway.yaml"]) {
    const body: unknown = parse(readFileSync(join(import.meta.dirname, "..", "crds", file), "utf8"));
    const answer = await api.request("POST", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions", {
      body,
    });
    assert.equal(answer.code, 201, answer.text);
  }
  await api.request("POST", "/api/v1/namespaces", { body: { metadata: { name: "shop" } } });
});
after(() => api.close());

type Json = Readonly<Record<string, unknown>>;
const MESH = { name: "mesh", port: 15_008, protocol: "HBONE" };

function create(name: string, spec: Json, rest: Json = {}): Promise<TestAnswer> {
  const body = {
    apiVersion: "gateway.networking.k8s.io/v1",
    kind: "Gateway",
    metadata: { name, namespace: "shop" },
    spec: { gatewayClassName: "istio-waypoint", ...spec },
    ...rest,
  };
  return api.request("POST", GATEWAYS, { body });
}

function conditions(answer: TestAnswer): readonly (readonly unknown[])[] {
  const status = answer.body["status"] as { readonly conditions: readonly Json[] };
  return status.conditions.map((c) => [c["type"], c["status"], c["reason"]]);
}

test("a waypoint is taken, with the standard's defaults and a status that waits for the controller", async () => {
  const answer = await create("taken", { listeners: [MESH] }, { status: { conditions: [] } });
  assert.equal(answer.code, 201, answer.text);
  const [listener] = (answer.body["spec"] as { readonly listeners: readonly Json[] }).listeners;
  assert.deepEqual(listener?.["allowedRoutes"], { namespaces: { from: "Same" } });
  assert.deepEqual(conditions(answer), [
    ["Accepted", "Unknown", "Pending"],
    ["Programmed", "Unknown", "Pending"],
  ]);
  assert.ok(!JSON.stringify(answer.body["metadata"]).includes("f:status"), "nobody owns the defaults");
});

test("the controller's applied status takes their place, and a change of the spec keeps it", async () => {
  await create("ready", { listeners: [MESH] });
  const programmed = { type: "Programmed", status: "True", reason: "Programmed", message: "ready" };
  const applied = await api.request(
    "PATCH",
    `${GATEWAYS}/ready/status?fieldManager=ambit-controller&force=true`,
    {
      contentType: "application/apply-patch+yaml",
      body: {
        apiVersion: "gateway.networking.k8s.io/v1",
        kind: "Gateway",
        metadata: { name: "ready", namespace: "shop" },
        status: {
          addresses: [{ type: "Hostname", value: "ready.shop.svc.cluster.local" }],
          conditions: [{ ...programmed, lastTransitionTime: "2026-01-01T00:00:00Z", observedGeneration: 1 }],
        },
      },
    },
  );
  assert.equal(applied.code, 200, applied.text);
  const labelled = await api.request("PATCH", `${GATEWAYS}/ready`, {
    contentType: "application/merge-patch+json",
    body: { metadata: { labels: { a: "b" } }, status: { conditions: [] } },
  });
  assert.deepEqual(conditions(labelled), [
    ["Accepted", "Unknown", "Pending"],
    ["Programmed", "True", "Programmed"],
  ]);
  const table = await api.request("GET", GATEWAYS, { headers: { accept: TABLE } });
  const { columnDefinitions, rows } = table.body as {
    readonly columnDefinitions?: readonly { readonly name: string }[];
    readonly rows?: readonly { readonly cells: readonly unknown[] }[];
  };
  assert.deepEqual(
    columnDefinitions?.map((column) => column.name),
    ["Name", "Class", "Address", "Programmed", "Age"],
  );
  assert.deepEqual(rows?.find((row) => row.cells[0] === "ready")?.cells.slice(0, 4), [
    "ready",
    "istio-waypoint",
    "ready.shop.svc.cluster.local",
    "True",
  ]);
});

const listener = (fields: Json): Json => ({ listeners: [{ ...MESH, ...fields }] });
const REFUSED: readonly (readonly [string, Json, RegExp])[] = [
  ["no listener", { listeners: [] }, /spec\.listeners/],
  ["no class", { gatewayClassName: "", listeners: [MESH] }, /spec\.gatewayClassName/],
  ["a port that is none", listener({ port: 70_000 }), /spec\.listeners\[0\]\.port/],
  ["a port as text", listener({ port: "15008" }), /spec\.listeners\[0\]\.port.*integer/s],
  [
    "a listener without protocol",
    { listeners: [{ name: "mesh", port: 15_008 }] },
    /listeners\[0\]\.protocol/,
  ],
  ["a listener's name in capitals", listener({ name: "Mesh" }), /listeners\[0\]\.name/],
  ["an unknown origin of routes", listener({ allowedRoutes: { namespaces: { from: "Some" } } }), /\.from/],
  ["TLS on a plain protocol", listener({ protocol: "HTTP", tls: {} }), /tls/],
  ["TLS without a mode's certificates", listener({ protocol: "HTTPS", tls: {} }), /needs certificateRefs/],
  [
    "two listeners of one name",
    { listeners: [MESH, { ...MESH, port: 15_009 }] },
    /spec\.listeners.*(?:Duplicate|unique)/s,
  ],
  ["two listeners on one port", { listeners: [MESH, { ...MESH, name: "other" }] }, /must be unique/],
  [
    "an address that is none",
    { listeners: [MESH], addresses: [{ type: "IPAddress", value: "10.0.0" }] },
    /spec\.addresses\[0\]/,
  ],
  [
    "an address twice",
    { listeners: [MESH], addresses: [{ value: "10.0.0.1" }, { value: "10.0.0.1" }] },
    /addresses must be unique/,
  ],
  [
    "a host name with a star inside",
    { listeners: [MESH], addresses: [{ type: "Hostname", value: "a.*.b" }] },
    /spec\.addresses\[0\]/,
  ],
  [
    "a label key with two slashes",
    { listeners: [MESH], infrastructure: { labels: { "a/b/c": "d" } } },
    /infrastructure\.labels/,
  ],
];
for (const [name, spec, path] of REFUSED) {
  test(`is refused with its path: ${name}`, async () => {
    const answer = await create(`refused-${name.replaceAll(/[^a-z]+/g, "-")}`, spec);
    assert.equal(answer.code, 422, answer.text);
    assert.match(String(answer.body["message"]), path);
  });
}

test("a misspelt field is refused as kubectl asks", async () => {
  const body = {
    apiVersion: "gateway.networking.k8s.io/v1",
    kind: "Gateway",
    metadata: { name: "misspelt" },
    spec: { gatewayClassName: "istio-waypoint", listener: [MESH], listeners: [MESH] },
  };
  const answer = await api.request("POST", `${GATEWAYS}?fieldValidation=Strict`, { body });
  assert.equal(answer.code, 400);
  assert.match(String(answer.body["message"]), /unknown field "spec\.listener"/);
});

test("a class belongs to no namespace, and its controller never changes", async () => {
  const spec = { controllerName: "istio.io/mesh-controller" };
  const metadata = { name: "istio-waypoint" };
  const head = { apiVersion: "gateway.networking.k8s.io/v1", kind: "GatewayClass", metadata };
  const wrong = await api.request("POST", `${GROUP}/gatewayclasses`, {
    body: { ...head, spec: { controllerName: "mesh" } },
  });
  assert.equal(wrong.code, 422);
  const made = await api.request("POST", `${GROUP}/gatewayclasses`, { body: { ...head, spec } });
  assert.equal(made.code, 201, made.text);
  assert.deepEqual(conditions(made), [["Accepted", "Unknown", "Pending"]]);
  const changed = await api.request("PATCH", `${GROUP}/gatewayclasses/istio-waypoint`, {
    contentType: "application/merge-patch+json",
    body: { spec: { controllerName: "example.org/other" } },
  });
  assert.equal(changed.code, 422);
  assert.match(String(changed.body["message"]), /spec\.controllerName.*immutable/s);
});

test("the older version is served too", async () => {
  const answer = await api.request("GET", GATEWAYS.replace("/v1/", "/v1beta1/"));
  assert.equal(answer.code, 200, answer.text);
});
