import assert from "node:assert/strict";
import { test, type TestContext } from "node:test";
import { systemClock } from "#core/base/clock.ts";
import { kubeClientFor } from "#core/k8s/load-config.ts";
import { projectCustom } from "#core/k8s/project.ts";
import type { CustomObject } from "#core/k8s/object-types.ts";
import { silentLogger } from "#core/runtime/log.ts";
import { FakeKubeApi, type RawObject } from "#core/testing/fake-kube-api.ts";
import { StaticCollection } from "../collections/static.ts";
import { GatewayClassWriter } from "./gateway-class-status.ts";
import { WriteQueue } from "./write-queue.ts";

const CLASSES = "/apis/gateway.networking.k8s.io/v1/gatewayclasses";
const CLASS = `${CLASSES}/istio-waypoint`;

function gatewayClass(status: unknown = {}, controllerName = "istio.io/mesh-controller"): RawObject {
  return {
    apiVersion: "gateway.networking.k8s.io/v1",
    kind: "GatewayClass",
    metadata: { name: "istio-waypoint", generation: 1 },
    spec: { controllerName },
    status,
  };
}

interface Rig {
  readonly api: FakeKubeApi;
  readonly writer: GatewayClassWriter;
  /** The watch tells of the class; undefined: it is gone. Resolves when what that brings about has been written. */
  tell(object: RawObject | undefined): Promise<void>;
  /** Method and path of each request. */
  requests(): readonly string[];
  leads: boolean;
}

async function start(t: TestContext): Promise<Rig> {
  const api = await FakeKubeApi.start();
  t.after(() => api.close());
  const classes = new StaticCollection<CustomObject>("classes");
  const queue = new WriteQueue({
    perSecond: 100,
    burst: 100,
    clock: systemClock,
    log: silentLogger,
    mayWrite: () => rig.leads,
  });
  const client = kubeClientFor({ server: api.url });
  const writer = new GatewayClassWriter({ client, clock: systemClock, queue, classes });
  const rig: Rig = {
    api,
    writer,
    leads: true,
    tell: async (object) => {
      if (object !== undefined) api.put(CLASSES, object);
      classes.apply([["istio-waypoint", object && projectCustom(object)]]);
      while (queue.size > 0) await new Promise(setImmediate);
      // A later write of the queue shows that the first one is done.
      if (rig.leads)
        await new Promise<void>((resolve) => {
          queue.put("after", () => Promise.resolve(resolve()));
        });
    },
    requests: () => api.requests.map(({ method, path }) => `${method} ${path}`),
  };
  return rig;
}

test("the class of waypoints is accepted, once, and again when it is made anew", async (t) => {
  const rig = await start(t);
  await rig.tell(gatewayClass());
  assert.deepEqual(rig.requests(), [`PATCH ${CLASS}/status`]);
  const status = rig.api.requests[0]?.body?.["status"] as { readonly conditions: readonly RawObject[] };
  const [condition] = status.conditions;
  assert.deepEqual([condition?.["type"], condition?.["status"]], ["Accepted", "True"]);
  await rig.tell(gatewayClass(status));
  assert.equal(rig.requests().length, 1, "it says so already");
  await rig.tell(undefined);
  await rig.tell(gatewayClass());
  assert.equal(rig.requests().length, 2);
});

test("who does not lead leaves it, and does it when leadership begins", async (t) => {
  const rig = await start(t);
  rig.leads = false;
  await rig.tell(gatewayClass());
  assert.deepEqual(rig.requests(), []);
  rig.leads = true;
  rig.writer.writeAll();
  await rig.tell(gatewayClass());
  assert.ok(rig.requests().includes(`PATCH ${CLASS}/status`));
});

test("a class that belongs to another controller is left alone", async (t) => {
  const rig = await start(t);
  await rig.tell(gatewayClass({}, "example.org/mesh"));
  assert.deepEqual(rig.requests(), []);
});

test("without the right to say so it is left alone, and not tried again", async (t) => {
  const rig = await start(t);
  rig.api.intercept = () => ({ status: 403, body: { kind: "Status", code: 403, reason: "Forbidden" } });
  await rig.tell(gatewayClass());
  assert.equal(rig.requests().length, 1);
});
