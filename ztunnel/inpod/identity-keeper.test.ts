import assert from "node:assert/strict";
import { test } from "node:test";
import { podUid } from "#core/model/ids.ts";
import { silentLogger } from "#core/runtime/log.ts";
import { aWorkload } from "#core/testing/builders.ts";
import type { LocalPod } from "../proxy/local-workload.ts";
import { MeshState } from "#core/state/mesh-state.ts";
import { IdentityKeeper } from "./identity-keeper.ts";

const web = (uid: string, name: string): LocalPod => ({
  uid: podUid(uid),
  name,
  namespace: "default",
  serviceAccount: "web",
});

test("an identity is prefetched once both sides know the pod, and forgotten with its last pod", () => {
  const state = new MeshState();
  const calls: string[] = [];
  let pods: readonly LocalPod[] = [];
  const keeper = new IdentityKeeper(
    {
      state,
      log: silentLogger,
      node: "node1",
      pods: () => pods,
      certificates: {
        current: () => undefined,
        fetch: (identity, priority) => {
          calls.push(`${priority} ${identity}`);
          return Promise.reject(new Error("away"));
        },
        forget: (identity) => void calls.push(`forget ${identity}`),
      },
    },
    new AbortController().signal,
  );
  const add = (name: string, node = "node1"): void => {
    state.commit({ upserts: [{ kind: "workload", workload: aWorkload({ name, node }) }], removals: [] });
  };
  pods = [web("u1", "web-1")];
  keeper.refresh();
  assert.deepEqual(calls, [], "the controller does not know it yet");
  add("elsewhere", "node2");
  add("web-1");
  pods = [...pods, web("u2", "web-2")];
  add("web-2");
  keeper.refresh();
  assert.deepEqual(calls, ["warmup spiffe://cluster.local/ns/default/sa/web"]);
  pods = pods.slice(1);
  keeper.refresh();
  assert.equal(calls.length, 1, "another pod still needs it");
  pods = [];
  keeper.refresh();
  assert.deepEqual(calls.slice(1), ["forget spiffe://cluster.local/ns/default/sa/web"]);
});
