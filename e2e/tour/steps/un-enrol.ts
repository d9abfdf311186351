/** Step 8: the namespace leaves the mesh under load. Captured connections end by themselves; then nothing is left in the pods. */
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { eventually } from "../../framework/eventually.ts";
import { inNetworkOf, podProcesses } from "../../framework/pod-process.ts";
import { annotated } from "../annotated.ts";
import { StepFailed, type Tour, type TourPod } from "../tour.ts";
import { CATALOG_POLICY } from "./authorize.ts";

export async function unEnrolNamespace(tour: Tour): Promise<void> {
  const { kubectl, wire } = tour.parts;
  await kubectl.delete(CATALOG_POLICY, "authorizationpolicy catalog -n shop");
  const pods = [await tour.pod("shop", "app=frontend"), await tour.pod("shop", "app=catalog")];
  for (const pod of pods)
    tour.check(
      (await rulesOf(tour, pod)).length > 0 && pinsOf(tour, pod).length > 0,
      `${pod.name} has capture's rules and programs`,
    );
  const before = await tour.loadStats();
  await kubectl.labelNamespace("shop", "istio.io/dataplane-mode", undefined);
  await eventually("the annotation is withdrawn", () =>
    annotated(tour, ["app=frontend", "app=catalog"], false),
  );
  await tour.run(
    await tour.pod("shop", "app=frontend"),
    'await fetch("http://127.0.0.1:9090/recycle", { method: "POST" })',
  );
  tour.show("the load opens new kept connections; captured ones end when they are idle");
  await eventually(
    "capture is gone from both pods",
    async () => {
      for (const pod of pods)
        if ((await rulesOf(tour, pod)).length > 0 || pinsOf(tour, pod).length > 0) return undefined;
      return true;
    },
    70_000,
  );
  const since = performance.now();
  await new Promise((resolve) => setTimeout(resolve, 2_000));
  await wire.settle();
  tour.checkLoad(before, await tour.loadStats());
  tour.check(true, "no rules, programs and pins are left in either pod");
  tour.check(wire.countText("GET /products", since) > 0, "and the link shows readable HTTP again");
}

/** Policy routing rules that capture adds. */
async function rulesOf(tour: Tour, pod: TourPod): Promise<readonly string[]> {
  const node = tour.parts.cluster.nodes.find((n) => n.name === pod.node);
  const [pid] = node === undefined ? [] : podProcesses(node, pod.uid, ".mjs");
  if (pid === undefined) throw new StepFailed(`${pod.name} has no process to look at`);
  const rules = await inNetworkOf(pid, ["ip", "rule"]);
  return rules.split("\n").filter((line) => /^8[01]:/.test(line));
}

function pinsOf(tour: Tour, pod: TourPod): readonly string[] {
  const node = tour.parts.cluster.nodes.find((n) => n.name === pod.node);
  try {
    return readdirSync(join(`/proc/${node?.initPid}/root/sys/fs/bpf/ambit/pods`, pod.uid));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
    return [];
  }
}
