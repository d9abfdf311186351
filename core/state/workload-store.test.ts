/** Several workloads claim one address: who is believed does not depend on who came first. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { workloadUid } from "../model/ids.ts";
import type { Workload } from "../model/workload.ts";
import { ip } from "../net/ip.ts";
import { aWorkload } from "../testing/builders.ts";
import { WorkloadStore } from "./workload-store.ts";

const AT = { network: "", ip: ip("10.0.0.5") };
const pod = aWorkload({ name: "pod" });
const plainPod = aWorkload({ name: "plain", tunnelProtocol: "none" });
const sickPod = aWorkload({ name: "sick", status: "unhealthy" });
const entry = aWorkload({
  name: "entry",
  uid: workloadUid("Kubernetes/networking/WorkloadEntry/default/entry"),
});
const hostPod = aWorkload({ name: "host", networkMode: "host-network" });

const CASES: readonly (readonly [string, readonly Workload[], string | undefined])[] = [
  ["an enrolled pod before one that is not", [plainPod, pod], "pod"],
  ["a pod that is ready before one that is going", [sickPod, pod], "pod"],
  ["an enrolled pod that is going before one that is not enrolled", [plainPod, sickPod], "sick"],
  ["a pod before anybody's claim by hand, enrolled or not", [entry, plainPod], "plain"],
  ["a hostNetwork pod never", [hostPod], undefined],
];
for (const [name, workloads, expected] of CASES) {
  test(`one address: ${name}`, () => {
    for (const order of [workloads, workloads.toReversed()]) {
      const store = new WorkloadStore();
      for (const workload of order) store.put(workload);
      assert.equal(store.byAddress(AT)?.name, expected);
    }
  });
}

test("who leaves gives the address to the next", () => {
  const store = new WorkloadStore();
  for (const workload of [plainPod, pod]) store.put(workload);
  store.delete(pod.uid);
  assert.equal(store.byAddress(AT)?.name, "plain");
  store.delete(plainPod.uid);
  assert.equal(store.byAddress(AT), undefined);
});
