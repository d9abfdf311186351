import assert from "node:assert/strict";
import test from "node:test";
import { formatRecord } from "#controller/waypoints/gateway/waypoint-record.ts";
import { jsonList, jsonObject, type JsonObject } from "#core/k8s/json-read.ts";
import type { PolicyKey } from "#core/model/ids.ts";
import { parse } from "yaml";
import { ExitCode } from "../exit-codes.ts";
import { type FakeCluster, golden, runAmbit } from "../testing.ts";

const NO_PODS = { pods: [], replies: {} };
const shop: JsonObject = {
  kind: "Namespace",
  metadata: { name: "shop", labels: { "istio.io/dataplane-mode": "ambient" } },
};
const clusterOf = (...objects: readonly JsonObject[]): FakeCluster => ({ ...NO_PODS, objects });

interface GatewayFacts {
  readonly namespace?: string;
  readonly labels?: JsonObject;
  readonly annotations?: JsonObject;
  readonly programmed?: "True" | "False";
  readonly className?: string;
}

/** Of a waypoint that the controller has made and that nobody's policy is behind. */
const MADE = { "ambit.io/binding": formatRecord({ deploymentUid: "d1", bindings: [] }) };

function gateway(name: string, facts: GatewayFacts = {}): JsonObject {
  const { namespace = "shop", labels = {}, annotations = MADE, programmed = "True" } = facts;
  const condition =
    programmed === "True"
      ? { reason: "Programmed", message: "ready" }
      : { reason: "Pending", message: "no pod is Ready" };
  return {
    kind: "Gateway",
    metadata: { name, namespace, labels, annotations },
    spec: { gatewayClassName: facts.className ?? "istio-waypoint" },
    status: {
      addresses: [{ type: "Hostname", value: `${name}.${namespace}.svc.cluster.local` }],
      conditions: [
        { type: "Accepted", status: "True", reason: "Accepted", message: "" },
        { type: "Programmed", status: programmed, ...condition },
      ],
    },
  };
}

const RECORD = formatRecord({
  deploymentUid: "d1",
  bindings: [
    {
      policy: "shop/items" as PolicyKey,
      field: "spec.rules[0].to[0].operation.methods",
      scope: { kind: "workloads", labels: { app: "catalog" } },
      stage: "enforced",
      sinceMs: 0,
    },
    {
      policy: "shop/reviews" as PolicyKey,
      field: "spec.targetRefs[0]",
      scope: { kind: "services", names: ["reviews", "stars"] },
      stage: "draining",
      sinceMs: 0,
    },
  ],
});
const automatic = gateway("ambit-waypoint", { annotations: { "ambit.io/binding": RECORD } });
const explicit = gateway("edge", {
  labels: { "istio.io/waypoint-for": "all", "istio.io/rev": "canary" },
  programmed: "False",
});
const ingress = gateway("ingress", { className: "istio" });
const elsewhere = gateway("waypoint", { namespace: "street" });

function policy(name: string, spec: JsonObject, status: JsonObject = {}, namespace = "shop"): JsonObject {
  return { kind: "AuthorizationPolicy", metadata: { name, namespace }, spec, status };
}
const methods = { rules: [{ to: [{ operation: { methods: ["GET"] } }] }] };

const items = policy("items", methods, {
  conditions: [
    {
      type: "Enforced",
      status: "True",
      reason: "Enforced",
      message: "waypoint shop/ambit-waypoint enforces it",
    },
  ],
});

for (const { words, file } of [
  { words: "waypoint list -n shop", file: "waypoint-list.txt" },
  { words: "waypoint list -A", file: "waypoint-list-all.txt" },
  { words: "waypoint status -A --wait=false", file: "waypoint-status.txt" },
]) {
  test(`ambit ${words} prints ${file}: other classes are left out`, async () => {
    const { exit, out } = await runAmbit(
      words,
      clusterOf(shop, elsewhere, explicit, ingress, automatic, items),
    );
    assert.equal(exit, ExitCode.ok);
    assert.equal(out, golden(file, out));
    assert.doesNotMatch(out, /ingress/);
  });
}

test("JSON and YAML have the reasons of an automatic waypoint", async () => {
  const cluster = clusterOf(shop, automatic);
  const { out } = await runAmbit("waypoint list -n shop -o json", cluster);
  const [first] = JSON.parse(out) as readonly JsonObject[];
  assert.equal(first?.["automatic"], true);
  assert.deepEqual(jsonList(first?.["reasons"])[0], {
    policy: "shop/items",
    field: "spec.rules[0].to[0].operation.methods",
    scope: "pods app=catalog",
    stage: "enforced",
    enforced: {
      status: "-",
      reason: "",
      message: "the policy is not there any more, or may not be read: what is bound for it is on its way out",
    },
  });
  assert.deepEqual(parse((await runAmbit("waypoint list -n shop -o yaml", cluster)).out), [first]);
});

test("a record that cannot be read is no sign that nothing needs the waypoint", async () => {
  const annotations = { "ambit.io/binding": "{" };
  const { out } = await runAmbit(
    "waypoint list -n shop",
    clusterOf(shop, gateway("ambit-waypoint", { annotations })),
  );
  assert.match(out, /shop\/ambit-waypoint: metadata\.annotations ambit\.io\/binding is not JSON/);
  assert.match(out, /and why is not known/);
  const idle = await runAmbit("waypoint list -n shop", clusterOf(shop, gateway("ambit-waypoint")));
  assert.match(idle.out, /no policy needs it any more: it goes after its grace period/);
});

test("a Gateway of the reserved name without a record is shown as the controller's, which has lost it", async () => {
  const lost = gateway("ambit-waypoint", { annotations: {} });
  const { out } = await runAmbit("waypoint list -n shop", clusterOf(shop, lost));
  assert.match(out, /shop\/ambit-waypoint: metadata\.annotations ambit\.io\/binding is missing\n/);
  assert.match(out, /made by the controller, and why is not known\.\n$/);
});

const enforced = (message: string): JsonObject => ({
  conditions: [{ type: "Enforced", status: "False", reason: "WaypointStarting", message }],
});
const WHY_NONE: readonly (readonly [string, readonly JsonObject[], RegExp])[] = [
  ["there is no policy", [shop], /needs none: it has no AuthorizationPolicy, and ztunnels/],
  [
    "no policy speaks of requests",
    [shop, policy("l4", { rules: [{ from: [{ source: { namespaces: ["shop"] } }] }] })],
    /needs none: of 1 AuthorizationPolicy none speaks of requests/,
  ],
  [
    "one does, and the controller says what it waits for",
    [shop, policy("items", methods, enforced("the waypoint's pod starts."))],
    /shop\/items needs one for spec\.rules\[0\]\.to\[0\]\.operation\.methods; Enforced: False WaypointStarting: the waypoint's pod starts\.\n$/,
  ],
  [
    "one names a Service, and the controller says nothing",
    [shop, policy("t", { targetRefs: [{ kind: "Service", name: "catalog", group: "" }] })],
    /shop\/t needs one for spec\.targetRefs\[0\]; the controller has not said anything/,
  ],
  [
    "one of the whole mesh does",
    [shop, policy("all", methods, {}, "istio-system")],
    /istio-system\/all needs one for/,
  ],
  [
    "the namespace is not in the mesh",
    [{ kind: "Namespace", metadata: { name: "shop" } }, policy("items", methods)],
    /Namespace shop is not in the mesh \(`kubectl label namespace shop istio\.io\/dataplane-mode=ambient`\)/,
  ],
];
for (const [why, objects, sentence] of WHY_NONE) {
  test(`a namespace without a waypoint says why: ${why}`, async () => {
    const { exit, out } = await runAmbit("waypoint list -n shop", clusterOf(...objects));
    assert.equal(exit, ExitCode.ok);
    assert.match(out, /^No waypoints found\.\n/);
    assert.match(out, sentence);
  });
}

test("for programs an empty list stays one, and the reason is beside it", async () => {
  const { out, err } = await runAmbit("waypoint list -n shop -o json", clusterOf(shop));
  assert.deepEqual(JSON.parse(out), []);
  assert.match(err, /needs none/);
  const all = await runAmbit("waypoint list -A", clusterOf(shop));
  assert.equal(all.out, "No waypoints found.\n");
});

test("a namespace that is not there is no namespace without waypoints", async () => {
  const { exit, err } = await runAmbit("waypoint list -n nowhere", clusterOf(shop));
  assert.equal(exit, ExitCode.notFound);
  assert.match(err, /there is no namespace nowhere/);
});

test("who may not see the mesh's own policies gets an answer all the same, and is told", async () => {
  const cluster = { ...clusterOf(shop), forbidden: ["AuthorizationPolicy istio-system"] };
  const { exit, out, err } = await runAmbit("waypoint list -n shop", cluster);
  assert.equal(exit, ExitCode.ok);
  assert.match(out, /needs none/);
  assert.match(err, /Policies of namespace istio-system were not looked at/);
  const closed = { ...clusterOf(shop), forbidden: ["AuthorizationPolicy shop"] };
  const refused = await runAmbit("waypoint list -n shop", closed);
  assert.deepEqual([refused.exit, refused.out], [ExitCode.failed, ""]);
});

test("what the cluster wrote does not steer the terminal", async () => {
  const { out } = await runAmbit(
    "waypoint list -n shop",
    clusterOf(shop, policy("items", methods, enforced("\u001b[2J"))),
  );
  assert.ok(!out.includes("\u001b"));
  assert.match(out, /\?\[2J/);
});

/** The controller programs what was applied after two looks. */
function programming(...objects: readonly JsonObject[]): FakeCluster {
  let looks = 0;
  const meanwhile = (now: readonly JsonObject[]): readonly JsonObject[] =>
    ++looks < 2
      ? now
      : now.map((o) => {
          if (o["kind"] !== "Gateway") return o;
          const metadata = jsonObject(o["metadata"]);
          return { ...gateway(String(metadata["name"])), metadata };
        });
  return { ...NO_PODS, objects, meanwhile };
}

test("status waits until all are programmed", async () => {
  const { exit, out } = await runAmbit("waypoint status -n shop", programming(shop, explicit));
  assert.equal(exit, ExitCode.ok);
  assert.match(out, /^NAME +STATUS +TYPE +REASON +MESSAGE\nedge +True +Programmed +Programmed +ready\n$/);
});

test("status fails when one is not programmed in time, and says why", async () => {
  const cluster = clusterOf(shop, explicit, automatic);
  const { exit, out, err } = await runAmbit("waypoint status -n shop --waypoint-timeout 3s", cluster);
  assert.equal(exit, ExitCode.failed);
  assert.match(out, /edge +False/);
  assert.match(err, /waypoint shop\/edge is not programmed after 3 s: Pending: no pod is Ready/);
  assert.doesNotMatch(err, /ambit-waypoint is not/);
  const other = await runAmbit("waypoint status ambit-waypoint -n shop", cluster);
  assert.equal(other.exit, ExitCode.ok);
  const nobody = await runAmbit("waypoint status nobody -n shop --waypoint-timeout 1s", cluster);
  assert.deepEqual([nobody.exit, nobody.out], [ExitCode.notFound, "No waypoints found.\n"]);
});

test("status says of each policy whether it is enforced, and what the controller waits for", async () => {
  const waits = enforced("waypoint shop/ambit-waypoint is in stage draining\u001b[2J");
  const reviews = policy("reviews", { targetRefs: [] }, waits);
  const { out } = await runAmbit("waypoint status -n shop", clusterOf(shop, automatic, items, reviews));
  assert.match(out, /\n  shop\/items: enforced: waypoint shop\/ambit-waypoint enforces it\n/);
  assert.match(
    out,
    /\n  shop\/reviews: not enforced: WaypointStarting: waypoint .* in stage draining\?\[2J\n/,
  );
  const silent = await runAmbit(
    "waypoint status -n shop",
    clusterOf(shop, automatic, policy("items", methods)),
  );
  assert.match(silent.out, /shop\/items: not enforced: the controller has not said anything about it yet/);
  const closed = { ...clusterOf(shop, automatic, items), forbidden: ["AuthorizationPolicy shop"] };
  const refused = await runAmbit("waypoint status -n shop", closed);
  assert.equal(refused.exit, ExitCode.ok);
  assert.match(refused.err, /Policies of namespace shop were not looked at/);
  assert.match(refused.out, /shop\/items: not enforced: .*or may not be read/);
});

test("generate prints the Gateway that istioctl prints, in YAML and JSON", async () => {
  const plain = await runAmbit("waypoint generate");
  assert.equal(plain.out, golden("waypoint-generate.yaml", plain.out));
  const words = "waypoint generate -n shop --name edge --for workload -r canary -o json";
  assert.deepEqual(JSON.parse((await runAmbit(words)).out), {
    apiVersion: "gateway.networking.k8s.io/v1",
    kind: "Gateway",
    metadata: {
      name: "edge",
      namespace: "shop",
      labels: { "istio.io/waypoint-for": "workload", "istio.io/rev": "canary" },
    },
    spec: {
      gatewayClassName: "istio-waypoint",
      listeners: [{ name: "mesh", port: 15_008, protocol: "HBONE" }],
    },
  });
});

for (const [words, message] of [
  ["waypoint generate --name none", /"none" is reserved/],
  ["waypoint apply --name ambit-waypoint", /reserved for the waypoint that the controller makes/],
  ["waypoint apply --name A_b", /is no name/],
  ["waypoint apply --waypoint-timeout soon", /is a time such as 90s/],
  ["waypoint delete", /delete all with --all/],
  ["waypoint delete edge --all", /not both/],
] as const) {
  test(`ambit ${words} is refused`, async () => {
    const { exit, err, requests } = await runAmbit(words, clusterOf(shop));
    assert.equal(exit, ExitCode.usage);
    assert.match(err, message);
    assert.deepEqual(requests, []);
  });
}

test("a traffic type that is none is refused", async () => {
  const { exit, err } = await runAmbit("waypoint apply --for services", clusterOf(shop));
  assert.equal(exit, "wrong");
  assert.match(err, /--for is one of service, workload, all, none/);
});

test("apply makes the Gateway; with --enroll-namespace it labels the namespace once the waypoint is ready", async () => {
  const words = "waypoint apply -n shop --for all --enroll-namespace --wait";
  const { exit, out, err, requests } = await runAmbit(words, programming(shop));
  assert.deepEqual([exit, err], [ExitCode.ok, ""]);
  assert.equal(
    out,
    'waypoint shop/waypoint applied\nnamespace shop labeled with "istio.io/use-waypoint: waypoint"\n',
  );
  assert.deepEqual(requests, [
    "APPLY Gateway shop/waypoint",
    'PATCH {"metadata":{"labels":{"istio.io/use-waypoint":"waypoint"}}} Namespace shop',
  ]);
});

test("a waypoint that does not come up in time is not put in charge", async () => {
  const words = "waypoint apply -n shop --enroll-namespace -w --waypoint-timeout 2s";
  const { exit, err, requests } = await runAmbit(words, clusterOf(shop));
  assert.equal(exit, ExitCode.failed);
  assert.match(err, /waypoint shop\/waypoint is not programmed after 2 s: no word from the controller/);
  assert.deepEqual(requests, ["APPLY Gateway shop/waypoint"]);
});

test("a namespace that uses another waypoint is left alone unless told, before anything is made", async () => {
  const labels = { "istio.io/dataplane-mode": "ambient", "istio.io/use-waypoint": "other" };
  const cluster = clusterOf({ kind: "Namespace", metadata: { name: "shop", labels } });
  const refused = await runAmbit("waypoint apply -n shop --enroll-namespace", cluster);
  assert.deepEqual([refused.exit, refused.requests], [ExitCode.failed, []]);
  assert.match(
    refused.err,
    /has the label istio\.io\/use-waypoint=other\nReplace the label with --overwrite/,
  );
  const told = await runAmbit("waypoint apply -n shop --enroll-namespace --overwrite", cluster);
  assert.equal(told.requests.length, 2);
});

test("a namespace outside the mesh gets a warning", async () => {
  const cluster = clusterOf({ kind: "Namespace", metadata: { name: "shop" } });
  const { exit, err } = await runAmbit("waypoint apply -n shop --enroll-namespace", cluster);
  assert.equal(exit, ExitCode.ok);
  assert.match(err, /Warning: namespace shop is not in the mesh/);
  const nowhere = await runAmbit("waypoint apply -n nowhere --enroll-namespace", cluster);
  assert.deepEqual([nowhere.exit, nowhere.requests], [ExitCode.notFound, []]);
});

test("delete removes what is named, all of it or nothing", async () => {
  const cluster = clusterOf(shop, explicit, gateway("waypoint"), automatic);
  const { out, requests } = await runAmbit("waypoint delete edge waypoint -n shop", cluster);
  assert.equal(out, "waypoint shop/edge deleted\nwaypoint shop/waypoint deleted\n");
  assert.deepEqual(requests, ["DELETE Gateway shop/edge", "DELETE Gateway shop/waypoint"]);
  const missing = await runAmbit("waypoint delete edge nobody -n shop", cluster);
  assert.deepEqual([missing.exit, missing.requests], [ExitCode.notFound, []]);
  assert.match(missing.err, /there is no waypoint nobody in namespace shop/);
});

test("delete --all leaves the automatic waypoint, and heeds the revision", async () => {
  const cluster = clusterOf(shop, explicit, gateway("waypoint"), automatic, elsewhere);
  const all = await runAmbit("waypoint delete --all -n shop", cluster);
  assert.deepEqual(all.requests, ["DELETE Gateway shop/edge", "DELETE Gateway shop/waypoint"]);
  const canary = await runAmbit("waypoint delete --all -r canary -n shop", cluster);
  assert.deepEqual(canary.requests, ["DELETE Gateway shop/edge"]);
  assert.equal(
    (await runAmbit("waypoint delete --all -n shop", clusterOf(shop))).out,
    "No waypoints found.\n",
  );
});

test("the automatic waypoint is not deleted by name either; the policies behind it are named", async () => {
  const { exit, err, requests } = await runAmbit(
    "waypoint delete ambit-waypoint -n shop",
    clusterOf(shop, automatic),
  );
  assert.deepEqual([exit, requests], [ExitCode.usage, []]);
  assert.match(err, /made by the controller for shop\/items, shop\/reviews: it goes by itself with them/);
});
