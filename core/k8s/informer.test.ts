import assert from "node:assert/strict";
import { after, afterEach, before, test } from "node:test";
import { setTimeout as pause } from "node:timers/promises";
import { systemClock } from "../base/clock.ts";
import { silentLogger } from "../runtime/log.ts";
import { FakeKubeApi } from "../testing/fake-kube-api.ts";
import { Informer, type ObjectChange } from "./informer.ts";
import { POD } from "./kinds.ts";
import type { KubeClient } from "./kube-client.ts";
import { kubeClientFor } from "./load-config.ts";
import type { PodObject } from "./object-types.ts";
import { projectPod } from "./project.ts";

const PODS = "/api/v1/pods";
let api: FakeKubeApi;
let client: KubeClient;
let running: Informer<PodObject> | undefined;

before(async () => {
  api = await FakeKubeApi.start();
  client = kubeClientFor({ server: api.url });
});
afterEach(() => {
  running?.stop();
  api.intercept = () => undefined;
  for (let i = 0; i < 1_600; i++) api.remove(PODS, `ns/p${i}`);
  api.requests.length = 0;
});
after(async () => {
  client.close();
  await api.close();
});

const put = (i: number, change: object = {}): void => {
  api.put(PODS, { metadata: { namespace: "ns", name: `p${i}`, ...change } });
};

/** Waits that would take seconds take a millisecond; their lengths are kept. */
function start(): {
  informer: Informer<PodObject>;
  batches: (readonly ObjectChange<PodObject>[])[];
  delays: number[];
} {
  const batches: (readonly ObjectChange<PodObject>[])[] = [];
  const delays: number[] = [];
  const informer = new Informer<PodObject>({
    client,
    kind: POD,
    project: projectPod,
    fieldSelector: "status.phase!=Failed",
    log: silentLogger,
    clock: {
      ...systemClock,
      sleep: (ms, signal) => {
        delays.push(ms);
        return systemClock.sleep(1, signal);
      },
    },
    onBatch: (changes) => batches.push(changes),
  });
  running = informer;
  informer.start();
  return { informer, batches, delays };
}

async function eventually(what: string, condition: () => boolean): Promise<void> {
  for (let i = 0; i < 1_000; i++) {
    if (condition()) return;
    await pause(5);
  }
  throw new Error(`never happened: ${what}`);
}

test("a list of several pages is one batch, then changes follow by watch", async () => {
  for (let i = 0; i < 1_200; i++) put(i);
  const { informer, batches } = start();
  assert.equal(informer.hasSynced(), false);
  await eventually("synced", () => informer.hasSynced());
  assert.deepEqual(
    batches.map((b) => b.length),
    [1_200],
  );
  const lists = api.requests.filter((r) => r.query.get("watch") === null);
  assert.deepEqual(
    lists.map((r) => r.query.get("continue")),
    [null, "500", "1000"],
  );
  assert.ok(lists.every((r) => r.query.get("fieldSelector") === "status.phase!=Failed"));
  await eventually("watching", () => api.watchCount === 1);
  assert.equal(api.requests.at(-1)?.query.get("allowWatchBookmarks"), "true");
  put(1, { labels: { a: "b" } });
  await eventually("change", () => batches.length === 2);
  assert.equal(batches[1]?.[0]?.old?.metadata.labels["a"], undefined);
  assert.equal(batches[1]?.[0]?.new?.metadata.labels["a"], "b");
  api.remove(PODS, "ns/p1");
  await eventually("removal", () => informer.get("ns/p1") === undefined);
});

test("an empty kind syncs, and says so once", async () => {
  const { informer, batches } = start();
  await eventually("synced", () => informer.hasSynced());
  assert.deepEqual(batches, [[]]);
});

test("an expired version is one full list whose difference is one batch", async () => {
  put(1);
  put(2);
  const { informer, batches } = start();
  await eventually("watching", () => informer.hasSynced() && api.watchCount === 1);
  api.removeSilently(PODS, "ns/p1");
  api.expire();
  put(3);
  await eventually("caught up", () => informer.get("ns/p3") !== undefined);
  const relist = batches.slice(1).filter((b) => b.some((change) => change.key === "ns/p1"));
  assert.equal(relist.length, 1);
  assert.equal(informer.get("ns/p1"), undefined);
  assert.ok(informer.get("ns/p2") !== undefined);
});

test("a broken watch resumes from its version without a list", async () => {
  put(1);
  const { informer } = start();
  await eventually("watching", () => informer.hasSynced() && api.watchCount === 1);
  const lists = (): number => api.requests.filter((r) => r.query.get("watch") === null).length;
  assert.equal(lists(), 1);
  api.breakWatches();
  put(2);
  await eventually("resumed", () => informer.get("ns/p2") !== undefined);
  assert.equal(lists(), 1);
});

test("told to read anew it lists, in whatever state it is, and says when that has been applied", async () => {
  put(1);
  put(2);
  const { informer } = start();
  await eventually("watching", () => informer.hasSynced() && api.watchCount === 1);
  assert.ok(informer.isCurrent());
  api.removeSilently(PODS, "ns/p1");
  informer.reread();
  assert.equal(informer.isCurrent(), false, "not before the list");
  await eventually("listed", () => informer.isCurrent());
  assert.equal(informer.get("ns/p1"), undefined, "what the watch had missed");
  await eventually("watching again, once", () => api.watchCount === 1);
  put(3);
  await eventually("watch goes on", () => informer.get("ns/p3") !== undefined);
  api.intercept = () => ({ status: 503, body: {} });
  api.breakWatches();
  informer.reread();
  await pause(20);
  assert.equal(informer.isCurrent(), false, "the API is away");
  api.removeSilently(PODS, "ns/p2");
  api.intercept = () => undefined;
  await eventually("listed when it is back", () => informer.isCurrent());
  assert.equal(informer.get("ns/p2"), undefined);
});

test("a line that is no JSON breaks the watch, and nothing is missed", async () => {
  put(1);
  const { informer } = start();
  await eventually("watching", () => informer.hasSynced() && api.watchCount === 1);
  api.sendLine(PODS, "{not json");
  put(2);
  await eventually("caught up", () => informer.get("ns/p2") !== undefined);
  assert.ok(api.requests.filter((r) => r.query.get("watch") === "true").length >= 2);
});

test("errors are retried with growing delays while the last state is served", async () => {
  put(1);
  const { informer, delays } = start();
  await eventually("watching", () => informer.hasSynced() && api.watchCount === 1);
  api.intercept = () => ({ status: 500, body: { kind: "Status", message: "away" } });
  api.breakWatches();
  await eventually("several tries", () => delays.length >= 4);
  assert.ok(informer.get("ns/p1") !== undefined);
  assert.match(informer.health().error, /500/);
  const [, second = 0, , fourth = 0] = delays;
  assert.ok(fourth > second, `${delays}`);
  api.intercept = () => undefined;
  put(2);
  await eventually("recovered", () => informer.get("ns/p2") !== undefined);
  assert.equal(informer.health().error, "");
});

test("a missing right is named", async () => {
  api.intercept = () => ({ status: 403, body: { kind: "Status", message: "no" } });
  const { informer } = start();
  await eventually("reported", () => informer.health().error !== "");
  assert.equal(informer.health().error, "missing RBAC rule: get, list, watch pods");
  assert.equal(informer.hasSynced(), false);
});

test("a list that fails in the middle changes nothing", async () => {
  for (let i = 0; i < 600; i++) put(i);
  let failures = 0;
  api.intercept = (request) =>
    request.query.get("continue") === "500" && failures++ === 0
      ? { status: 410, body: { kind: "Status", reason: "Expired" } }
      : undefined;
  const { informer, batches } = start();
  await eventually("synced", () => informer.hasSynced());
  assert.equal(failures, 2);
  assert.deepEqual(
    batches.map((b) => b.length),
    [600],
  );
});

test("a stopped informer says nothing more", async () => {
  put(1);
  const { informer, batches } = start();
  await eventually("watching", () => informer.hasSynced() && api.watchCount === 1);
  informer.stop();
  put(2);
  await pause(30);
  assert.equal(batches.length, 1);
});
