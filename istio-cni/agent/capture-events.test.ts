import assert from "node:assert/strict";
import { afterEach, beforeEach, test } from "node:test";
import { jsonObject, jsonText } from "#core/k8s/json-read.ts";
import { kubeClientFor } from "#core/k8s/load-config.ts";
import { createLog } from "#core/runtime/log.ts";
import { FakeKubeApi } from "#core/testing/fake-kube-api.ts";
import { createManualClock } from "#core/testing/manual-clock.ts";
import { CaptureEvents } from "./capture-events.ts";
import { podRef } from "./pod-ref.ts";
import { aPod } from "./test/objects.ts";

let api: FakeKubeApi;
let lines: string[];
let events: CaptureEvents;
const POD = podRef(aPod());

beforeEach(async () => {
  api = await FakeKubeApi.start();
  lines = [];
  events = new CaptureEvents({
    client: kubeClientFor({ server: api.url }),
    nodeName: "n1",
    clock: createManualClock(),
    log: createLog("events", { level: "debug", write: (line) => lines.push(line) }).root,
  });
});
afterEach(() => api.close());

const written = (): readonly string[] =>
  api.requests.filter((r) => r.method === "POST").map((r) => jsonText(r.body?.["message"]));

test("an event that cannot be written is a log line, and is said again", async () => {
  api.intercept = () => ({ status: 403, body: { kind: "Status", message: "forbidden" } });
  await events.refused(POD, "no ztunnel");
  await events.refused(POD, "no ztunnel");
  assert.equal(written().length, 2);
  assert.equal(lines.filter((line) => line.includes("event not written")).length, 2);
});

test("a refusal is a warning on the pod, with the sentence and nothing but it", async () => {
  await events.refused(POD, "SELF_TEST: connections leave in clear");
  const request = api.requests.find((r) => r.method === "POST");
  assert.equal(request?.path, "/api/v1/namespaces/shop/events");
  const body = request?.body ?? {};
  assert.equal(body["reason"], "AmbitCaptureFailed");
  assert.equal(body["type"], "Warning");
  assert.equal(body["message"], "not captured by the mesh: SELF_TEST: connections leave in clear");
  assert.deepEqual(jsonObject(body["involvedObject"]), {
    apiVersion: "v1",
    kind: "Pod",
    namespace: "shop",
    name: "web-1",
    uid: POD.uid,
  });
});

test("the same sentence is said once, another one again, and after capture it is news", async () => {
  await events.refused(POD, "first");
  await events.refused(POD, "first");
  await events.refused(POD, "second");
  events.captured(POD);
  await events.refused(POD, "second");
  assert.deepEqual(
    written().map((message) => message.split(": ")[1]),
    ["first", "second", "second"],
  );
});

test("a long sentence is cut to what the API takes", async () => {
  await events.refused(POD, "x".repeat(5_000));
  assert.equal(written()[0]?.length, 1_024);
});
