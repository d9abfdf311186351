import assert from "node:assert/strict";
import { openSync } from "node:fs";
import { test } from "node:test";
import type { Clock } from "#core/base/clock.ts";
import { systemClock } from "#core/base/clock.ts";
import { publicBackend } from "#core/handle/public-backend.ts";
import { podUid } from "#core/model/ids.ts";
import { silentLogger } from "#core/runtime/log.ts";
import { aWorkload } from "#core/testing/builders.ts";
import { TestMesh } from "../test/test-mesh.ts";
import { PodProxy } from "../proxy/pod-proxy.ts";
import type { PodSockets } from "../proxy/pod-sockets.ts";
import { PodManager } from "./pod-manager.ts";
import type { ZdsStep } from "./zds-session.ts";

interface Setting {
  readonly manager: PodManager;
  readonly ready: boolean[];
  /** Listening fails while true. */
  readonly broken: { value: boolean };
  readonly retry: () => Promise<void>;
  readonly listening: () => number;
}

async function setUp(): Promise<Setting> {
  const mesh = new TestMesh(publicBackend);
  const seed = await mesh.node().pod({ name: "seed" });
  const timers: (() => void)[] = [];
  const clock: Clock = {
    ...systemClock,
    after: (_ms, task) => {
      timers.push(task);
      return () => undefined;
    },
  };
  const broken = { value: false };
  const ready: boolean[] = [];
  let listening = 0;
  const sockets = (): PodSockets => ({
    listen: (options) => {
      if (broken.value && options.port === 15_008) return Promise.reject(new Error("EADDRINUSE"));
      listening++;
      return Promise.resolve({ port: options.port, fd: undefined, close: () => void listening-- });
    },
    connect: () => Promise.reject(new Error("no network")),
    hasAddress: () => true,
    close: () => undefined,
  });
  const manager = new PodManager({
    clock,
    log: silentLogger,
    makeSockets: sockets,
    makeProxy: (pod, s) => new PodProxy(seed.proxy.context.deps, pod, s),
    onReady: (value) => void ready.push(value),
  });
  await mesh.close();
  return {
    manager,
    ready,
    broken,
    retry: async () => {
      for (const task of timers.splice(0)) task();
      await new Promise((resolve) => setImmediate(resolve));
    },
    listening: () => listening,
  };
}

const add = (uid: string, name: string): ZdsStep => ({
  kind: "add",
  uid: podUid(uid),
  workload: { name, namespace: "default", serviceAccount: name },
  netnsFd: openSync("/proc/self/ns/net", "r"),
});

test("a pod that cannot listen is reported, leaves nothing half open, and is tried again", async () => {
  const { manager, ready, broken, retry, listening } = await setUp();
  broken.value = true;
  await assert.rejects(manager.apply(add("u1", "web")), /EADDRINUSE/);
  assert.equal(listening(), 0);
  assert.deepEqual(
    manager.list().map((p) => p.state),
    ["Pending"],
  );
  manager.setSynced(true);
  assert.equal(ready.at(-1), false);
  broken.value = false;
  await retry();
  assert.deepEqual(
    manager.list().map((p) => p.state),
    ["Up"],
  );
  assert.equal(ready.at(-1), true);
  await manager.stop("test over");
  assert.equal(listening(), 0);
});

test("the same namespace again changes nothing; a snapshot without the pod removes it", async () => {
  const { manager, listening } = await setUp();
  await manager.apply(add("u1", "web"));
  await manager.apply(add("u1", "web"));
  assert.deepEqual(manager.counts(), { active: 1, pending: 0, started: 1, stopped: 0 });
  await manager.apply({ kind: "retain", uids: new Set([podUid("u1")]) });
  assert.equal(manager.counts().active, 1);
  await manager.apply({ kind: "retain", uids: new Set() });
  assert.equal(listening(), 0);
});

test("not ready before the snapshot, and not while the agent is away", async () => {
  const { manager, ready } = await setUp();
  await manager.apply(add("u1", "web"));
  assert.equal(ready.at(-1), false);
  manager.setSynced(true);
  manager.setSynced(false);
  assert.deepEqual(ready.slice(-2), [true, false]);
  await manager.stop("test over");
});

test("a pod is a workload's only under the same name, account and node", async () => {
  const { manager } = await setUp();
  await manager.apply(add("u1", "web"));
  const workload = aWorkload({ name: "web", serviceAccount: "web", node: "node1" });
  assert.ok(manager.byWorkload(workload));
  assert.equal(manager.byWorkload({ ...workload, serviceAccount: "other" }), undefined);
  assert.equal(manager.byWorkload({ ...workload, serviceAccount: "" }), undefined);
  assert.equal(manager.byWorkload({ ...workload, node: "node2" }), undefined);
  assert.equal(manager.byWorkload({ ...workload, namespace: "elsewhere" }), undefined);
  await manager.stop("test over");
});
