import assert from "node:assert/strict";
import { test, type TestContext } from "node:test";
import { systemClock } from "#core/base/clock.ts";
import { kubeClientFor } from "#core/k8s/load-config.ts";
import { silentLogger } from "#core/runtime/log.ts";
import { FakeKubeApi, type FakeRequest, type RawObject } from "#core/testing/fake-kube-api.ts";
import { acceptGatewayClass } from "./gateway-class-status.ts";
import { WriteQueue } from "./write-queue.ts";

const CLASSES = "/apis/gateway.networking.k8s.io/v1/gatewayclasses";
const CLASS = `${CLASSES}/istio-waypoint`;

function gatewayClass(status: RawObject = {}, controllerName = "istio.io/mesh-controller"): RawObject {
  return {
    apiVersion: "gateway.networking.k8s.io/v1",
    kind: "GatewayClass",
    metadata: { name: "istio-waypoint", generation: 1 },
    spec: { controllerName },
    status,
  };
}

async function accept(t: TestContext, before: RawObject | undefined): Promise<readonly FakeRequest[]> {
  const api = await FakeKubeApi.start();
  t.after(() => api.close());
  if (before !== undefined) api.put(CLASSES, before);
  const client = kubeClientFor({ server: api.url });
  const queue = new WriteQueue({
    perSecond: 100,
    burst: 10,
    clock: systemClock,
    log: silentLogger,
    mayWrite: () => true,
  });
  acceptGatewayClass({ client, clock: systemClock, queue });
  // A later write of the queue shows that the first one is done.
  await new Promise<void>((resolve) => {
    queue.put("after", () => Promise.resolve(resolve()));
  });
  return api.requests;
}

test("the class of waypoints is accepted, once", async (t) => {
  const [read, write, ...more] = await accept(t, gatewayClass());
  assert.deepEqual([read?.method, read?.path], ["GET", CLASS]);
  assert.deepEqual([write?.method, write?.path, more], ["PATCH", `${CLASS}/status`, []]);
  const status = write?.body?.["status"] as { readonly conditions: readonly RawObject[] };
  const [condition] = status.conditions;
  assert.deepEqual([condition?.["type"], condition?.["status"]], ["Accepted", "True"]);
  const again = await accept(t, gatewayClass(status));
  assert.deepEqual(
    again.map((request) => request.method),
    ["GET"],
  );
});

test("a class that belongs to another controller is left alone, and so is one that is not there", async (t) => {
  for (const before of [gatewayClass({}, "example.org/mesh"), undefined]) {
    const requests = await accept(t, before);
    assert.deepEqual(
      requests.map((request) => request.method),
      ["GET"],
    );
  }
});
