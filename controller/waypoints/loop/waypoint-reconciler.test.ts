/** The loop over waypoints with everything around it pretended: what it asks of the API, and when. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { PodObject } from "#core/k8s/object-types.ts";
import { silentLogger } from "#core/runtime/log.ts";
import { createManualClock } from "#core/testing/manual-clock.ts";
import { aWaypointPod } from "../../test/waypoint-cluster.ts";
import type { Stage, WantedBinding } from "../binding/binding.ts";
import type { WaypointGateway } from "../gateway/waypoint-gateway.ts";
import { WaypointReconciler } from "./waypoint-reconciler.ts";
import type { WaypointView } from "../status/waypoint-view.ts";

const WISH: WantedBinding = {
  policy: "shop/p" as never,
  field: "f",
  scope: { kind: "workloads", labels: {} },
};

function aGateway(stage: Stage): WaypointGateway {
  return {
    key: "shop/ambit-waypoint",
    namespace: "shop",
    name: "ambit-waypoint",
    uid: "uid-gateway",
    resourceVersion: "1",
    generation: 1,
    automatic: true,
    serves: "service",
    admits: { kind: "same" },
    deleting: false,
    record: { deploymentUid: "uid-deployment", bindings: [{ ...WISH, stage, sinceMs: 0 }] },
    lost: undefined,
    conditions: [],
    problems: [],
  };
}

interface World {
  readonly calls: string[];
  readonly set: (
    change: Partial<{
      remaining: readonly PodObject[];
      leader: boolean;
      wanted: boolean;
      /** What the API says to the waypoint's objects. */
      refusal: string;
    }>,
  ) => void;
  /** What its status says keeps it from being made. */
  readonly obstacle: () => string | undefined;
  /** Lets the loop run for a while. */
  readonly pass: () => Promise<void>;
}

function world(gateway: WaypointGateway | undefined): World {
  const clock = createManualClock();
  const calls: string[] = [];
  let state = { remaining: [] as readonly PodObject[], leader: true, wanted: false, refusal: "" };
  let view: WaypointView | undefined;
  const call = (name: string) => (): Promise<void> => {
    calls.push(name);
    return Promise.resolve();
  };
  const reconciler = new WaypointReconciler({
    api: {
      createGateway: call("create"),
      writeRecord: call("write"),
      deleteGateway: call("delete"),
      removePods: call("remove pods"),
      provide: () => {
        calls.push("provide");
        if (state.refusal !== "") return Promise.reject(new Error(state.refusal));
        return Promise.resolve({ kind: "provided", deploymentUid: "uid-deployment", addresses: [] });
      },
    },
    clock,
    log: silentLogger,
    times: { drainMs: 1, missingMs: 1, graceMs: 1 },
    isLeader: () => state.leader,
    source: {
      isReady: () => true,
      isTerminating: () => false,
      seen: () => ({ published: true, unpublished: [], proxies: [] }),
      recentProxies: () => new Set<string>(),
      ztunnels: () => [],
      nodes: () => new Set<string>(),
      waypointPods: () => [],
      remainingPods: () => state.remaining,
    },
    needs: () => ({
      namespaces: new Map(state.wanted ? [["shop", [WISH]]] : []),
      gaps: new Map(),
      explicit: new Map(),
      waysAround: new Map(),
    }),
    takeovers: () => ({ held: new Map(), attachments: new Map() }),
    gateways: () => (gateway === undefined ? [] : [gateway]),
    generation: () => 1,
    onView: (newest) => {
      view = newest;
    },
  });
  return {
    calls,
    obstacle: () => view?.gateways.get("shop/ambit-waypoint")?.obstacle,
    set: (change) => {
      state = { ...state, ...change };
    },
    pass: async () => {
      for (let i = 0; i < 5; i++) {
        reconciler.poke();
        await new Promise(setImmediate);
        await clock.advance(200);
      }
    },
  };
}

test("a waypoint that nothing needs: its pods go, and the Gateway with its exemptions only after the last of them", async () => {
  const { calls, set, pass } = world(aGateway("resting"));
  set({ remaining: [aWaypointPod({}, { deletionMs: 1 })] });
  await pass();
  assert.deepEqual(calls, ["remove pods"], "nothing is made again, whoever leads by now");
  set({ remaining: [] });
  await pass();
  assert.ok(calls.includes("delete"));
});

test("whoever does not lead writes nothing", async () => {
  const { calls, set, pass } = world(aGateway("resting"));
  set({ leader: false, wanted: true });
  await pass();
  assert.deepEqual(calls, []);
});

test("what is needed and not there is made, once", async () => {
  const { calls, set, pass } = world(undefined);
  set({ wanted: true });
  await pass();
  assert.deepEqual(calls, ["create"]);
});

test("a step is written once, and nothing is decided on the old record until it has come back", async () => {
  const { calls, set, pass } = world(aGateway("enforced"));
  set({ wanted: false });
  await pass();
  assert.equal(calls.filter((call) => call === "write").length, 1);
});

test("a waypoint whose objects cannot be made lets go of what nothing needs any more all the same, and is tried again later and later", async () => {
  const { calls, set, pass, obstacle } = world(aGateway("enforced"));
  set({ refusal: "exceeded quota", wanted: true });
  await pass();
  assert.equal(obstacle(), "exceeded quota");
  assert.deepEqual(calls, ["provide", "provide"]);
  set({ wanted: false });
  await pass();
  assert.equal(calls.filter((call) => call === "write").length, 1);
  assert.equal(calls.filter((call) => call === "provide").length, 2);
  set({ refusal: "" });
  for (let i = 0; i < 3; i++) await pass();
  assert.equal(obstacle(), undefined);
});
