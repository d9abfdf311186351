/** Tables for the pure parts: patches, selectors, JSONPath, ages, plans, slices, request lines. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { planDaemons } from "./controllers/daemonset-plan.ts";
import { wantedSlices } from "./controllers/endpointslice.ts";
import { chooseNode } from "./controllers/scheduler.ts";
import { negotiate } from "./http/negotiate.ts";
import { requestInfo } from "./http/request-info.ts";
import type { ApiObject, JsonMap } from "./object.ts";
import { jsonPatch } from "./patch/json-patch.ts";
import { mergePatch } from "./patch/merge-patch.ts";
import { strategicMerge } from "./patch/strategic-merge.ts";
import { fieldSelector } from "./rest/selectors.ts";
import { BUILTIN_RESOURCES } from "./registry/resource-table.ts";
import { ResourceRegistry } from "./registry/resource-registry.ts";
import { checkRules } from "./schema/rules.ts";
import { compileCel, toCel } from "./schema/cel.ts";
import { validate } from "./schema/validate.ts";
import { ageText } from "./view/age.ts";
import { jsonPath } from "./view/json-path.ts";

const object = (kind: string, name: string, rest: JsonMap = {}): ApiObject => ({
  apiVersion: "v1",
  kind,
  metadata: { name, namespace: "d" },
  ...rest,
});

test("JSON patch: each operation, and refusals", () => {
  const base = { a: 1, list: [1, 2], "x/y": { "m~n": 1 } };
  const cases: readonly (readonly [name: string, patch: unknown, wanted: unknown])[] = [
    ["add", [{ op: "add", path: "/b", value: 2 }], { ...base, b: 2 }],
    ["append", [{ op: "add", path: "/list/-", value: 3 }], { ...base, list: [1, 2, 3] }],
    ["insert", [{ op: "add", path: "/list/0", value: 0 }], { ...base, list: [0, 1, 2] }],
    ["escaped", [{ op: "replace", path: "/x~1y/m~0n", value: 2 }], { ...base, "x/y": { "m~n": 2 } }],
    ["move", [{ op: "move", from: "/a", path: "/c" }], { list: [1, 2], "x/y": { "m~n": 1 }, c: 1 }],
    ["copy", [{ op: "copy", from: "/list", path: "/c" }], { ...base, c: [1, 2] }],
    [
      "test then remove",
      [
        { op: "test", path: "/a", value: 1 },
        { op: "remove", path: "/a" },
      ],
      { list: [1, 2], "x/y": { "m~n": 1 } },
    ],
  ];
  for (const [name, patch, wanted] of cases) assert.deepEqual(jsonPatch(base, patch), wanted, name);
  for (const patch of [
    [{ op: "remove", path: "/nope" }],
    [{ op: "add", path: "/list/9", value: 1 }],
    [{ op: "test", path: "/a", value: 2 }],
    [{ op: "add", path: "a", value: 1 }],
    {},
    [{ op: "x", path: "/a" }],
    [1],
  ]) {
    assert.throws(() => jsonPatch(base, patch), /rejected our request|json patch|decoding patch/);
  }
});

test("merge patch removes nulls and replaces lists", () => {
  assert.deepEqual(mergePatch({ a: { b: 1, c: 2 }, l: [1] }, { a: { b: null }, l: [2] }), {
    a: { c: 2 },
    l: [2],
  });
});

test("strategic merge: keyed lists, directives, order", () => {
  const schema = new ResourceRegistry().schema(
    BUILTIN_RESOURCES.find((r) => r.id === "deployments.apps") as never,
  );
  const live = {
    spec: {
      strategy: { type: "RollingUpdate", rollingUpdate: { maxSurge: 1 } },
      template: {
        spec: {
          containers: [
            { name: "a", image: "1", env: [{ name: "X", value: "1" }] },
            { name: "b", image: "2" },
          ],
        },
      },
    },
  };
  const containers = (patch: unknown): unknown =>
    (strategicMerge(live, { spec: { template: { spec: patch } } }, schema) as typeof live).spec.template.spec
      .containers;
  assert.deepEqual(containers({ containers: [{ name: "a", env: [{ name: "Y", value: "2" }] }] }), [
    {
      name: "a",
      image: "1",
      env: [
        { name: "Y", value: "2" },
        { name: "X", value: "1" },
      ],
    },
    { name: "b", image: "2" },
  ]);
  assert.deepEqual(containers({ containers: [{ name: "a", $patch: "delete" }] }), [
    { name: "b", image: "2" },
  ]);
  assert.deepEqual(containers({ containers: [{ $patch: "replace" }, { name: "c", image: "3" }] }), [
    { name: "c", image: "3" },
  ]);
  assert.deepEqual(containers({ "$setElementOrder/containers": [{ name: "b" }, { name: "a" }] }), [
    live.spec.template.spec.containers[1],
    live.spec.template.spec.containers[0],
  ]);
  const merged = strategicMerge(
    live,
    { spec: { strategy: { $retainKeys: ["type"], type: "Recreate" } } },
    schema,
  ) as typeof live;
  assert.deepEqual(merged.spec.strategy, { type: "Recreate" });
  assert.deepEqual(
    strategicMerge(
      { metadata: { finalizers: ["a", "b"] } },
      { metadata: { "$deleteFromPrimitiveList/finalizers": ["a"], finalizers: ["c"] } },
      schema,
    ),
    { metadata: { finalizers: ["b", "c"] } },
  );
});

test("field selectors know their kind's fields only", () => {
  const pods = BUILTIN_RESOURCES.find((r) => r.id === "pods") as never;
  const match = fieldSelector("spec.nodeName=n1,status.phase!=Running", pods);
  assert.equal(match(object("Pod", "p", { spec: { nodeName: "n1" }, status: { phase: "Pending" } })), true);
  assert.equal(match(object("Pod", "p", { spec: { nodeName: "n1" }, status: { phase: "Running" } })), false);
  assert.throws(() => fieldSelector("spec.x=1", pods), /field label not supported/);
});

test("JSONPath of printer columns", () => {
  const value = {
    status: {
      conditions: [
        { type: "Ready", status: "True" },
        { type: "X", status: "False" },
      ],
    },
    metadata: { labels: { "a.b/c": "v" } },
    l: [1, 2],
  };
  assert.equal(jsonPath(value, '.status.conditions[?(@.type=="Ready")].status'), "True");
  assert.equal(jsonPath(value, ".metadata.labels.a\\.b/c"), "v");
  assert.equal(jsonPath(value, ".metadata.labels['a.b/c']"), "v");
  assert.equal(jsonPath(value, ".l[1]"), 2);
  assert.equal(jsonPath(value, ".status.conditions[*].type"), "Ready,X");
  assert.equal(jsonPath(value, ".nope.x"), undefined);
});

test("ages as kubectl prints them", () => {
  const at = (seconds: number): string => ageText(new Date(0).toISOString(), seconds * 1000);
  assert.deepEqual([0, 119, 120, 310, 3600, 11_000, 90_000, 200_000, 800_000, 70_000_000].map(at), [
    "0s",
    "119s",
    "2m",
    "5m10s",
    "60m",
    "3h3m",
    "25h",
    "2d7h",
    "9d",
    "2y80d",
  ]);
  assert.equal(ageText(undefined, 0), "<unknown>");
});

test("request lines", () => {
  const of = (method: string, path: string, query = ""): unknown => {
    const info = requestInfo(method, path, new URLSearchParams(query));
    return info.kind === "resource"
      ? [info.verb, info.group, info.plural, info.namespace, info.name, info.subresource].join("|")
      : info.kind;
  };
  const cases = [
    ["GET", "/api/v1/pods", "", "list||pods|||"],
    ["GET", "/api/v1/namespaces/a/pods/b/log", "", "get||pods|a|b|log"],
    ["GET", "/api/v1/namespaces/a", "", "get||namespaces||a|"],
    ["PUT", "/api/v1/namespaces/a/finalize", "", "update||namespaces||a|finalize"],
    ["GET", "/apis/apps/v1/namespaces/a/deployments", "watch=true", "watch|apps|deployments|a||"],
    ["DELETE", "/apis/apps/v1/namespaces/a/deployments", "", "deletecollection|apps|deployments|a||"],
    ["GET", "/apis/apps/v1", "", "path"],
    ["GET", "/version", "", "path"],
    ["GET", "/api/v1/namespaces/a/pods/b/c/d", "", "malformed"],
  ] as const;
  for (const [method, path, query, wanted] of cases) assert.equal(of(method, path, query), wanted, path);
});

test("content negotiation", () => {
  assert.equal(negotiate("application/json;as=Table;v=v1;g=meta.k8s.io,application/json"), "table");
  assert.equal(negotiate("application/vnd.kubernetes.protobuf,application/json"), "object");
  assert.equal(
    negotiate("application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList,application/json"),
    "object",
  );
  assert.throws(() => negotiate("application/vnd.kubernetes.protobuf"), /media types/);
});

test("CEL: what the rules of public CRDs use, and what is not there", () => {
  const yes = (rule: string, self: unknown): unknown =>
    compileCel(rule).run({ self: toCel(self), oldSelf: null });
  const rules: readonly (readonly [string, unknown])[] = [
    ["has(self.a[0].b) && size(self.a) <= 16", { a: [{ b: 1 }] }],
    ["self.all(k, k.size() < 5) && self.exists_one(k, k == 'ab')", ["ab", "c"]],
    ["self.x.matches('^a+$') && self.x.startsWith('a') && self.x.lowerAscii() == 'aa'", { x: "aa" }],
    ["isURL(self.u) && url(self.u).getScheme() in ['http', 'https']", { u: "https://x.y/z" }],
    ["self.l.isSorted() && self.l.sum() == 6 && self.l.max() == 3", { l: [1, 2, 3] }],
    ["self.map(x, x * 2).exists(x, x == 4) ? true : false", [1, 2]],
  ];
  for (const [rule, self] of rules) assert.deepEqual(yes(rule, self), { kind: "value", value: true }, rule);
  assert.equal((yes("self.missing == 1", {}) as { kind: string }).kind, "error");
  assert.throws(() => compileCel("self.?a"));
});

test("transition rules run on updates only; items of map lists pair by key", () => {
  const schema = {
    type: "object",
    properties: {
      l: {
        type: "array",
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": ["n"],
        items: {
          type: "object",
          "x-kubernetes-validations": [{ rule: "self.v == oldSelf.v", message: "fixed" }],
        },
      },
    },
  };
  const wanted = {
    l: [
      { n: "b", v: 2 },
      { n: "a", v: 1 },
    ],
  };
  assert.deepEqual(checkRules(wanted, undefined, schema), []);
  assert.deepEqual(checkRules(wanted, { l: [{ n: "a", v: 1 }] }, schema), []);
  assert.equal(checkRules(wanted, { l: [{ n: "a", v: 9 }] }, schema)[0]?.field, "l[1]");
  assert.equal(
    checkRules(
      {
        l: [
          { n: "a", v: 1 },
          { n: "a", v: 1 },
        ],
      },
      undefined,
      schema,
    )[0]?.reason,
    "FieldValueDuplicate",
  );
});

test("validation words", () => {
  const schema = {
    type: "object",
    required: ["r"],
    properties: {
      e: { type: "string", enum: ["a", "b"] },
      i: { type: "integer", minimum: 0 },
      s: { type: "string", minLength: 1, maxLength: 3, pattern: "^x" },
      l: { type: "array", maxItems: 1, items: { type: "string" } },
      o: { oneOf: [{ required: ["x"] }, { required: ["y"] }] },
    },
  };
  const words = (value: unknown): string[] =>
    validate(value, schema, "spec").map(({ field, message }) => `${field}: ${message}`);
  assert.deepEqual(words({ e: "c", i: -1, s: "", l: ["a", 2], o: {} }), [
    "spec.r: Required value",
    'spec.e: Unsupported value: "c": supported values: "a", "b"',
    "spec.i: Invalid value: -1: spec.i in body should be greater than or equal to 0",
    'spec.s: Invalid value: "": spec.s in body should be at least 1 chars long',
    "spec.s: Invalid value: \"\": spec.s in body should match '^x'",
    "spec.l: Too many: 2: must have at most 1 item",
    'spec.l[1]: Invalid value: "integer": spec.l[1] in body must be of type string: "integer"',
    "spec.o: Invalid value: {}: spec.o in body must validate one and only one schema (oneOf)",
  ]);
});

test("the scheduler explains itself and spreads", () => {
  const node = (name: string, ready: string, rest: JsonMap = {}): ApiObject =>
    object("Node", name, { spec: rest, status: { conditions: [{ type: "Ready", status: ready }] } });
  const pod = object("Pod", "p", { spec: { containers: [], nodeSelector: {} } });
  assert.deepEqual(chooseNode(pod, [], []), {
    kind: "none",
    reason: "0/0 nodes are available: no nodes available to schedule pods.",
  });
  const full = chooseNode(
    pod,
    [
      node("a", "False"),
      node("b", "True", { unschedulable: true }),
      node("c", "True", { taints: [{ key: "k", effect: "NoSchedule" }] }),
    ],
    [],
  );
  assert.match(
    full.kind === "none" ? full.reason : "",
    /1 node\(s\) was not ready.*untolerated taint.*untolerated taint/,
  );
  const there = object("Pod", "q", { spec: { nodeName: "a", containers: [] } });
  assert.deepEqual(chooseNode(pod, [node("a", "True"), node("b", "True")], [there]), {
    kind: "node",
    node: "b",
  });
});

test("slices: a slice per family and set of resolved ports", () => {
  const service = object("Service", "s", {
    spec: {
      ipFamilies: ["IPv4", "IPv6"],
      ports: [{ name: "h", port: 80, targetPort: "web", protocol: "TCP" }],
    },
  });
  const pod = (name: string, port: number, ready: string): ApiObject =>
    object("Pod", name, {
      spec: { nodeName: "n", containers: [{ name: "a", ports: [{ name: "web", containerPort: port }] }] },
      status: {
        podIPs: [{ ip: `10.0.0.${port % 100}` }, { ip: `fd00::${port % 100}` }],
        conditions: [{ type: "Ready", status: ready }],
      },
    });
  const slices = wantedSlices(service, [
    pod("a", 8080, "True"),
    pod("b", 8080, "False"),
    pod("c", 9091, "True"),
  ]);
  assert.deepEqual(
    slices.map(({ addressType, ports, endpoints }) => [addressType, ports[0]?.["port"], endpoints.length]),
    [
      ["IPv4", 8080, 2],
      ["IPv4", 9091, 1],
      ["IPv6", 8080, 2],
      ["IPv6", 9091, 1],
    ],
  );
  assert.deepEqual(
    slices[0]?.endpoints.map((endpoint) => endpoint["conditions"]),
    [
      { ready: true, serving: true, terminating: false },
      { ready: false, serving: false, terminating: false },
    ],
  );
  assert.deepEqual(
    wantedSlices(service, []).map(({ endpoints }) => endpoints.length),
    [0, 0],
  );
});

test("DaemonSet steps: with surge the new pod comes first, without it goes last", () => {
  const on = (node: string, rest: object = {}): Parameters<typeof planDaemons>[0][number] => ({
    node,
    fresh: 0,
    stale: 0,
    freshAvailable: false,
    staleAvailable: false,
    leaving: false,
    ...rest,
  });
  const old = { stale: 1, staleAvailable: true };
  const surge = { rolling: true, maxSurge: 1, maxUnavailable: 1 };
  const plain = { rolling: true, maxSurge: 0, maxUnavailable: 1 };
  assert.deepEqual([...planDaemons([on("a"), on("b", { leaving: true })], plain)], [["a", "create"]]);
  assert.deepEqual([...planDaemons([on("a", old), on("b", old)], surge)], [["a", "create"]]);
  assert.deepEqual([...planDaemons([on("a", { ...old, fresh: 1 }), on("b", old)], surge)], []);
  assert.deepEqual(
    [...planDaemons([on("a", { ...old, fresh: 1, freshAvailable: true })], surge)],
    [["a", "remove-stale"]],
  );
  assert.deepEqual([...planDaemons([on("a", old), on("b", old)], plain)], [["a", "remove-stale"]]);
  assert.deepEqual([...planDaemons([on("a", old)], { ...plain, rolling: false })], []);
});
