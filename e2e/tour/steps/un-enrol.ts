/** Step 14: the namespace leaves the mesh under load. Captured connections end by themselves; then nothing is left in the pods. */
import { eventually } from "../../framework/eventually.ts";
import { captureTraces, pinnedPods, podNetnsPath } from "../../framework/node-inside.ts";
import { annotated } from "../annotated.ts";
import { StepFailed, type Tour, type TourPod } from "../tour.ts";

export async function unEnrolNamespace(tour: Tour): Promise<void> {
  const { kubectl, wire } = tour.parts;
  const pods = [await tour.pod("shop", "app=frontend"), await tour.pod("shop", "app=catalog")];
  for (const pod of pods) {
    const traces = await tracesOf(tour, pod);
    const kinds = [/fwmark/, /table 100/, /eth0 egress/, /sk_lookup/, /listener/, /pin/];
    tour.check(
      kinds.every((kind) => traces.some((trace) => kind.test(trace))),
      `${pod.name} has capture's rules, routes, programs, pins and ztunnel's listeners`,
    );
  }
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
      for (const pod of pods) if ((await tracesOf(tour, pod)).length > 0) return undefined;
      return true;
    },
    70_000,
  );
  const since = performance.now();
  await new Promise((resolve) => setTimeout(resolve, 2_000));
  await wire.settle();
  await tour.checkLoad(before);
  tour.check(true, "no rules, routes, programs, pins and listeners are left in either pod");
  tour.check(wire.countText("GET /items", since) > 0, "and the link shows readable HTTP again");
}

/** What capture has in the pod's namespace, and whether it is pinned on the node. Throws when it cannot look. */
async function tracesOf(tour: Tour, pod: TourPod): Promise<readonly string[]> {
  const node = tour.parts.cluster.nodes.find((n) => n.name === pod.node);
  if (node === undefined) throw new StepFailed(`${pod.name} is on no node that can be looked into`);
  const pins = pinnedPods(node).filter((uid) => uid === pod.uid);
  return [...(await captureTraces(podNetnsPath(node, pod.uid))), ...pins.map((uid) => `pin ${uid}`)];
}
