/** The one field that the agent writes: of the pod that was meant, the newest wish alone, until it holds. */
import assert from "node:assert/strict";
import { afterEach, beforeEach, test } from "node:test";
import { kubeClientFor } from "#core/k8s/load-config.ts";
import { silentLogger } from "#core/runtime/log.ts";
import { FakeKubeApi } from "#core/testing/fake-kube-api.ts";
import { createManualClock, type ManualClock } from "#core/testing/manual-clock.ts";
import { podRef } from "./pod-ref.ts";
import { RedirectionAnnotator } from "./redirection-annotation.ts";
import { aPod } from "./test/objects.ts";

const POD = podRef(aPod());
let api: FakeKubeApi;
let clock: ManualClock;
let stop: AbortController;
let annotator: RedirectionAnnotator;
let answer: number;

beforeEach(async () => {
  api = await FakeKubeApi.start();
  clock = createManualClock();
  stop = new AbortController();
  answer = 200;
  api.intercept = () => ({ status: answer, body: { kind: "Status" } });
  annotator = new RedirectionAnnotator({
    client: kubeClientFor({ server: api.url }),
    clock,
    log: silentLogger,
    signal: stop.signal,
  });
});
afterEach(async () => {
  stop.abort();
  await api.close();
});

const bodies = (): readonly unknown[] => api.requests.map((request) => request.body);
const wish = (value: "enabled" | null): unknown => ({
  metadata: { uid: POD.uid, annotations: { "ambient.istio.io/redirection": value } },
});
async function requests(count: number): Promise<void> {
  for (let turn = 0; turn < 2_000 && api.requests.length < count; turn++)
    await new Promise((resolve) => setTimeout(resolve, 1));
  assert.equal(api.requests.length, count);
}

test("it is one patch of the status with the pod's uid, so that a new pod of the name is not meant", async () => {
  await annotator.set(POD, true);
  assert.deepEqual(
    api.requests.map((r) => [r.method, r.path]),
    [["PATCH", "/api/v1/namespaces/shop/pods/web-1/status"]],
  );
  assert.deepEqual(bodies(), [wish("enabled")]);
});

test("a pod that is gone is not tried again", async () => {
  answer = 404;
  await annotator.set(POD, false);
  assert.equal(api.requests.length, 1);
});

test("nobody waits for long; the write goes on until it holds", async () => {
  answer = 403;
  const set = annotator.set(POD, true);
  await requests(1);
  await clock.advance(3_000);
  await set;
  answer = 200;
  for (let i = 0; i < 200 && bodies().length < 3; i++) {
    await clock.advance(1_000);
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
  assert.ok(bodies().length >= 2);
});

test("the newest wish wins: an older one that has not been written is dropped", async () => {
  answer = 503;
  const first = annotator.set(POD, true);
  await requests(1);
  answer = 200;
  await annotator.set(POD, false);
  await clock.advance(20_000);
  await first;
  assert.deepEqual(bodies().at(-1), wish(null));
  assert.deepEqual(bodies().slice(1), [wish(null)]);
});
