/** Delta xDS end to end: a real client over TLS against a whole controller on a scripted Kubernetes API. */
import assert from "node:assert/strict";
import { afterEach, test } from "node:test";
import { systemClock } from "#core/base/clock.ts";
import { TYPE_URL_ADDRESS, TYPE_URL_AUTHORIZATION } from "#core/model/well-known.ts";
import { silentLogger } from "#core/runtime/log.ts";
import { decodeAddress } from "#core/wire/address-codec.ts";
import { DeltaClient, type XdsUpdate } from "#core/xds/delta-client.ts";
import {
  eventually,
  type Harness,
  makeToken,
  pod,
  policy,
  ROOTS,
  startHarness,
  ztunnelToken,
} from "./harness.ts";

const CATALOG = "Kubernetes//Pod/shop/catalog";
const FRONTEND = "Kubernetes//Pod/shop/frontend";
const stops: (() => Promise<unknown>)[] = [];

afterEach(async () => {
  for (const stop of stops.splice(0).toReversed()) await stop();
});

async function harness(...args: Parameters<typeof startHarness>): Promise<Harness> {
  const made = await startHarness(...args);
  stops.push(() => made.stop());
  return made;
}

interface Connected {
  readonly client: DeltaClient;
  readonly updates: XdsUpdate[];
  readonly versions: Map<string, string>;
  /** Names that this client refuses, with the reason. */
  readonly refuse: Map<string, string>;
  disconnect(): Promise<void>;
}

interface ConnectOptions {
  readonly token?: string;
  readonly n?: number;
  readonly nodeId?: string;
  readonly metadata?: Readonly<Record<string, string>>;
  readonly onDemand?: boolean;
  readonly clusterId?: string;
}

function connect(from: Harness, options: ConnectOptions = {}): Connected {
  const { n = 1 } = options;
  const token = options.token ?? ztunnelToken(from, n);
  const updates: XdsUpdate[] = [];
  const versions = new Map<string, string>();
  const refuse = new Map<string, string>();
  const client = new DeltaClient(
    {
      log: silentLogger,
      clock: systemClock,
      readRoots: () => Promise.resolve(from.rootsPem()),
      readToken: () => Promise.resolve(token),
      apply: (update) => {
        updates.push(update);
        const rejected = update.resources.filter((r) => refuse.has(r.name));
        for (const r of update.resources) if (!refuse.has(r.name)) versions.set(r.name, r.version);
        for (const name of update.removed) versions.delete(name);
        return rejected.map((r) => ({ name: r.name, reason: refuse.get(r.name) ?? "" }));
      },
    },
    {
      address: `localhost:${from.controller.ports().grpc}`,
      serverName: "istiod.istio-system.svc",
      clusterId: options.clusterId ?? "Kubernetes",
      node: {
        id:
          options.nodeId ?? `ztunnel~10.244.${n}.2~ztunnel-${n}.istio-system~istio-system.svc.cluster.local`,
        cluster: "",
        buildVersion: "",
        metadata: { NAMESPACE: "istio-system", NODE_NAME: `node-${n}`, ...options.metadata },
      },
      subscriptions: [
        { typeUrl: TYPE_URL_ADDRESS, mode: options.onDemand === true ? "on-demand" : "wildcard" },
        { typeUrl: TYPE_URL_AUTHORIZATION, mode: "wildcard" },
      ],
    },
  );
  const abort = new AbortController();
  const running = client.run(abort.signal);
  const disconnect = async (): Promise<void> => {
    abort.abort();
    await running;
  };
  stops.push(disconnect);
  return { client, updates, versions, refuse, disconnect };
}

const names = (update: XdsUpdate | undefined): readonly string[] =>
  (update?.resources ?? []).map((r) => r.name);
const sorted = (map: ReadonlyMap<string, string>): readonly string[] =>
  [...map].map(([name, version]) => `${name} ${version}`).toSorted();
const acked = (c: Connected): boolean => c.client.status().acknowledged.length === 2;

test("a ztunnel gets everything at first, then changes and removals by name alone", async () => {
  const h = await harness();
  const c = connect(h);
  await eventually("initial state", () => acked(c));
  assert.deepEqual(
    [...c.versions.keys()].toSorted(),
    [
      CATALOG,
      FRONTEND,
      "Kubernetes//Pod/istio-system/ztunnel-1",
      "Kubernetes//Pod/istio-system/ztunnel-2",
      "shop/catalog.shop.svc.cluster.local",
    ].toSorted(),
  );
  const before = c.updates.length;
  h.api.put(
    ROOTS.pods,
    pod("shop", "catalog", {
      node: "node-2",
      ip: "10.244.2.5",
      account: "catalog",
      status: { conditions: [] },
    }),
  );
  await eventually("change", () => c.updates.length > before);
  const change = c.updates[before];
  assert.deepEqual(names(change), [CATALOG]);
  const decoded = decodeAddress(change?.resources[0]?.body ?? new Uint8Array());
  assert.ok(decoded.ok && decoded.value.kind === "workload" && decoded.value.workload.status === "unhealthy");
  h.api.remove(ROOTS.pods, "shop/catalog");
  await eventually("removal", () => !c.versions.has(CATALOG));
});

test("an empty mesh is still answered for both types", async () => {
  const h = await harness();
  for (const key of ["shop/catalog", "shop/frontend"]) h.api.remove(ROOTS.pods, key);
  const c = connect(h);
  await eventually("both types acknowledged", () => acked(c));
  const policies = c.updates.filter((u) => u.typeUrl === TYPE_URL_AUTHORIZATION);
  assert.deepEqual(
    policies.map((u) => u.resources.length),
    [0],
  );
});

test("a pod that is recreated under its name is an update, not a removal", async () => {
  const h = await harness();
  const c = connect(h);
  await eventually("initial state", () => acked(c));
  const before = c.updates.length;
  h.api.remove(ROOTS.pods, "shop/catalog");
  h.api.put(
    ROOTS.pods,
    pod("shop", "catalog", { node: "node-2", ip: "10.244.2.6", account: "catalog", uid: "second" }),
  );
  await eventually("change", () => c.updates.length > before);
  assert.deepEqual(
    c.updates.slice(before).flatMap((u) => u.removed),
    [],
  );
});

test("a reconnecting client gets only what differs from what it holds, and the end of what is gone", async () => {
  const h = await harness();
  h.api.put(ROOTS.authorizationPolicies, policy("shop", "old", { rules: [{}] }));
  const c = connect(h);
  await eventually("initial state", () => acked(c) && c.versions.has("shop/old"));
  const held = new Map(c.versions);
  const count = c.updates.length;
  // The same pod connects again: the newest stream wins, so the first client loses its stream and comes back.
  const other = connect(h);
  await eventually("second stream", () => acked(other));
  await eventually("first client is back", () => c.updates.length > count);
  const back = c.updates.slice(count);
  assert.deepEqual(back.flatMap(names), [], "nothing that it holds is sent again");
  assert.deepEqual(c.versions, held);
});

test("versions do not depend on the process: a second controller sends nothing that is held", async () => {
  const first = await harness();
  const c = connect(first);
  await eventually("initial state", () => acked(c));
  const second = await harness();
  const d = connect(second);
  await eventually("initial state", () => acked(d));
  assert.deepEqual(sorted(d.versions), sorted(c.versions));
});

test("a policy arrives before the workloads that name it, and leaves after them", async () => {
  const h = await harness();
  const c = connect(h);
  await eventually("initial state", () => acked(c));
  const before = c.updates.length;
  h.api.put(
    ROOTS.authorizationPolicies,
    policy("shop", "p", { selector: { matchLabels: { app: "catalog" } }, rules: [{}] }),
  );
  await eventually("workload names it", () =>
    c.updates.slice(before).some((u) => names(u).includes(CATALOG)),
  );
  const order = c.updates.slice(before).flatMap(names);
  assert.deepEqual(order, ["shop/p", CATALOG]);
  const middle = c.updates.length;
  h.api.remove(ROOTS.authorizationPolicies, "shop/p");
  await eventually("policy gone", () => !c.versions.has("shop/p"));
  const leaving = c.updates
    .slice(middle)
    .flatMap((u) => [...names(u), ...u.removed.map((name) => `-${name}`)]);
  assert.deepEqual(leaving, [CATALOG, "-shop/p"]);
});

test("what a client refuses is not sent to it again, but its next version is", async () => {
  const h = await harness();
  const c = connect(h);
  await eventually("initial state", () => acked(c));
  c.refuse.set("shop/bad", "no good");
  h.api.put(ROOTS.authorizationPolicies, policy("shop", "bad", { rules: [{}] }));
  await eventually("refused", () => h.log.some((line) => line.includes("refused by client")));
  const sent = (): number => c.updates.filter((u) => names(u).includes("shop/bad")).length;
  assert.equal(sent(), 1);
  // Away and back: the same version again.
  h.api.put(ROOTS.authorizationPolicies, policy("shop", "good", { rules: [] }));
  await eventually("another policy", () => c.versions.has("shop/good"));
  assert.equal(sent(), 1);
  const condition = (): string =>
    JSON.stringify(h.api.get(ROOTS.authorizationPolicies, "shop/bad")?.["status"]);
  await eventually("the object says so", () => condition().includes("RefusedByZtunnel"));
  assert.match(condition(), /no good/);
  c.refuse.clear();
  h.api.put(ROOTS.authorizationPolicies, policy("shop", "bad", { action: "DENY", rules: [{}] }));
  await eventually("next version", () => c.versions.has("shop/bad"));
  assert.equal(sent(), 2);
  await eventually("and no more", () => condition().includes("attached to ztunnel"));
});

test("an on-demand client gets what it asks for, by name or address, and nothing else", async () => {
  const h = await harness();
  const c = connect(h, { onDemand: true });
  await eventually("policies", () => c.client.status().acknowledged.length > 0);
  const signal = AbortSignal.timeout(5_000);
  await c.client.demand(TYPE_URL_ADDRESS, "/10.96.0.7", signal);
  assert.ok(c.versions.has("shop/catalog.shop.svc.cluster.local"));
  assert.ok(c.versions.has(CATALOG), "a service brings its workloads");
  assert.ok(c.versions.has(FRONTEND), "workloads of the client's own node come by themselves");
  assert.ok(!c.versions.has("Kubernetes//Pod/istio-system/ztunnel-2"));
  await c.client.demand(TYPE_URL_ADDRESS, "/10.244.2.99", signal);
  h.api.put(ROOTS.pods, pod("shop", "late", { node: "node-2", ip: "10.244.2.99", account: "catalog" }));
  await eventually("the unknown address appears", () => c.versions.has("Kubernetes//Pod/shop/late"));
});

const refusals: readonly {
  readonly name: string;
  readonly options: (h: Harness) => ConnectOptions;
  readonly code: string;
}[] = [
  { name: "no known token", options: () => ({ token: makeToken() }), code: "UNAUTHENTICATED" },
  { name: "a token that is no JWT", options: () => ({ token: "junk" }), code: "UNAUTHENTICATED" },
  { name: "an unknown cluster", options: () => ({ clusterId: "elsewhere" }), code: "UNAUTHENTICATED" },
  {
    name: "an account that is not a ztunnel's",
    options: (h) => ({
      token: ztunnelToken(h, 1, {
        account: "system:serviceaccount:shop:frontend",
        accountUid: "uid-account-frontend",
        podName: "frontend",
        podUid: "uid-frontend",
      }),
    }),
    code: "PERMISSION_DENIED",
  },
  {
    name: "type waypoint",
    options: () => ({ nodeId: "waypoint~10.0.0.1~ztunnel-1.istio-system~istio-system.svc.cluster.local" }),
    code: "PERMISSION_DENIED",
  },
  {
    name: "another namespace in the metadata",
    options: () => ({ metadata: { NAMESPACE: "shop" } }),
    code: "PERMISSION_DENIED",
  },
  {
    name: "another account in the metadata",
    options: () => ({ metadata: { SERVICE_ACCOUNT: "other" } }),
    code: "PERMISSION_DENIED",
  },
  {
    name: "another node in the metadata",
    options: () => ({ metadata: { NODE_NAME: "node-2" } }),
    code: "PERMISSION_DENIED",
  },
  {
    name: "a node id of three parts",
    options: () => ({ nodeId: "ztunnel~10.0.0.1~x" }),
    code: "INVALID_ARGUMENT",
  },
  {
    name: "an unknown node type",
    options: () => ({ nodeId: "sidecar~10.0.0.1~a.b~b.svc" }),
    code: "INVALID_ARGUMENT",
  },
];

for (const { name, options, code } of refusals) {
  test(`an xDS client with ${name} gets ${code} and no resource`, async () => {
    const h = await harness();
    const c = connect(h, options(h));
    await eventually("refused", () => c.client.status().lastError?.includes(code) === true);
    assert.equal(c.updates.length, 0);
  });
}

test("a stream ends when its pod is gone", async () => {
  const h = await harness();
  const c = connect(h);
  await eventually("initial state", () => acked(c));
  h.api.remove(ROOTS.pods, "istio-system/ztunnel-1");
  await eventually("ended", () => c.client.status().lastError !== undefined);
});

test("with the API away the cache is served to clients that come back", async () => {
  const h = await harness();
  const token = ztunnelToken(h, 1);
  const c = connect(h, { token });
  await eventually("initial state", () => acked(c));
  await c.disconnect();
  h.api.intercept = () => ({ status: 503, body: { kind: "Status", message: "away" } });
  h.api.breakWatches();
  const again = connect(h, { token });
  await eventually("served from the cache", () => acked(again));
  assert.deepEqual(sorted(again.versions), sorted(c.versions));
});

test("proxy status shows what was acknowledged", async () => {
  const h = await harness();
  const c = connect(h);
  await eventually("initial state", () => acked(c));
  const ask = async (): Promise<string> =>
    (await fetch(`http://127.0.0.1:${h.controller.ports().debug}/debug/syncz`)).text();
  let text = "";
  for (let i = 0; i < 100 && !/(SYNCED[\s\S]*){2}/.test(text); i++) text = await ask();
  const { resources } = JSON.parse(text) as {
    resources: { node: { id: string }; genericXdsConfigs: unknown[] }[];
  };
  assert.equal(resources[0]?.node.id, "ztunnel-1.istio-system");
  assert.equal(resources[0]?.genericXdsConfigs.length, 2);
  const metrics = await (await fetch(`http://127.0.0.1:${h.controller.ports().metrics}/metrics`)).text();
  assert.match(metrics, /pilot_xds 1\b/);
});
