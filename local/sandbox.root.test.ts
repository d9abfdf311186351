/** A pod whose first process dies: a new sandbox, or the end. */
import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { POD } from "#core/k8s/kinds.ts";
import { eventually, isReady, OwnedCluster, skipWithoutRoot } from "./testing/owned-cluster.ts";

const options = { skip: skipWithoutRoot(), timeout: 60_000 };
const local = new OwnedCluster(`s${process.pid}`, 1);

before(() => local.start());
after(() => local.stop());

/** The oldest process of a pod: the only one in a group named by the sandbox's id. */
function pauseOf(uid: string): number {
  const pods = join(local.cluster.nodes[0]?.cgroup ?? "", "kubepods", "besteffort", `pod${uid}`);
  const group = readdirSync(pods).find((name) => /^[0-9a-f]{64}$/.test(name));
  assert.ok(group !== undefined, "the pod has a sandbox");
  return Number(readFileSync(join(pods, group, "cgroup.procs"), "utf8"));
}

test(
  "a pod whose sandbox is lost gets a new one, its containers are counted on, its emptyDir stays",
  options,
  async () => {
    const scratch = { volumeMounts: [{ name: "scratch", mountPath: "/scratch" }] };
    await local.makePod("phoenix", {
      node: "n1",
      container: scratch,
      spec: { volumes: [{ name: "scratch", emptyDir: {} }], terminationGracePeriodSeconds: 1 },
    });
    await local.untilReady("phoenix");
    await local.run("phoenix", "echo kept > /scratch/file");
    const uid = (await local.pod("phoenix")).metadata.uid;
    const before = pauseOf(uid);
    process.kill(before, "SIGKILL");
    const after = await eventually("phoenix runs again", async () => {
      const status = await local.statusOf("phoenix");
      return isReady(status) && status.containerStatuses?.[0]?.restartCount === 1 ? status : undefined;
    });
    assert.ok(after.containerStatuses?.[0]?.lastState.terminated !== undefined);
    assert.notEqual(pauseOf(uid), before);
    assert.equal((await local.run("phoenix", "cat /scratch/file")).out, "kept\n");
    const reached = await local.run("phoenix", `curl -s -m 3 http://${after.podIP}:8080/`);
    assert.match(reached.out, /"phoenix"/);
    assert.deepEqual(await local.eventsOf("phoenix", "SandboxChanged"), [
      "Pod sandbox changed, it will be killed and re-created.",
    ]);
    await local.remove(POD, "phoenix");
  },
);

test("a pod that is never restarted fails when its sandbox is lost", options, async () => {
  await local.makePod("mortal", {
    node: "n1",
    // As first process it ignores SIGTERM, and so is killed.
    container: { image: "ambit/host", command: ["sleep", "1000"], readinessProbe: undefined },
    spec: { restartPolicy: "Never", terminationGracePeriodSeconds: 1 },
  });
  await local.untilReady("mortal");
  process.kill(pauseOf((await local.pod("mortal")).metadata.uid), "SIGKILL");
  const status = await eventually("mortal has failed", async () => {
    const now = await local.statusOf("mortal");
    return now.phase === "Failed" ? now : undefined;
  });
  assert.equal(status.containerStatuses?.[0]?.restartCount, 0);
  assert.equal(status.podIP, undefined, "its address may belong to another pod by now");
  assert.equal((await local.eventsOf("mortal", "SandboxChanged")).length, 1);
  await local.remove(POD, "mortal");
});
