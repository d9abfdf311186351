/** Step 11: the waypoint is killed under load. Requests wait for it, bounded; nothing reaches the application around it. */
import { eventually } from "../../framework/eventually.ts";
import { answeredLoad, loadBetween } from "../../framework/load.ts";
import { killProcess } from "../../framework/node-inside.ts";
import { podProcesses } from "../../framework/pod-process.ts";
import { StepFailed, type Tour, type TourPod } from "../tour.ts";
import { arrivalMark, checkArrivals, waypointPod } from "./waypoint-evidence.ts";

export async function waypointKilled(tour: Tour): Promise<void> {
  const waypoint = await waypointPod(tour);
  const mark = await arrivalMark(tour);
  const before = await tour.loadStats();
  const since = performance.now();
  kill(tour, waypoint);
  tour.show(`${waypoint.name} killed with SIGKILL`);
  await eventually("kubelet has started it again", async () =>
    (await waypointPod(tour)).restarts > waypoint.restarts ? true : undefined,
  );
  const after = await answeredLoad(() => tour.loadStats());
  tour.show(
    `service resumed by itself; ${((performance.now() - since) / 1_000).toFixed(1)} s after the kill no request waits`,
  );
  const { tried, held, retried, failed } = loadBetween(before, after);
  const reasons = Object.entries(after.reasons).flatMap(([reason, count]) => {
    const more = count - (before.reasons[reason] ?? 0);
    return more > 0 ? [`${more} x ${reason}`] : [];
  });
  if (failed > 0) tour.show(`failed: ${reasons.join(", ")} (in flight at the kill)`);
  tour.check(
    held > 0 && !reasons.some((reason) => reason.includes("ECONNREFUSED")),
    `load: ${tried} requests tried, ${held} held until it was back, ${retried} retried, ${failed} failed; none was refused`,
  );
  await checkArrivals(tour, { mark, waypoint: await waypointPod(tour), inLog: false });
}

function kill(tour: Tour, pod: TourPod): void {
  const node = tour.parts.cluster.nodes.find((candidate) => candidate.name === pod.node);
  const pids = node === undefined ? [] : podProcesses(node, pod.uid, ".mjs");
  if (pids.length === 0) throw new StepFailed(`no process of ${pod.name} to kill`);
  for (const pid of pids) killProcess(pid);
}
