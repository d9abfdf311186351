/**
 * Step 7: ztunnel is killed, twice, so that it stays away for a while. Nothing may cross the link in clear, not even from
 * a connection that has been idle and writes long after its peer is gone; arriving connections wait.
 */
import { writeFileSync } from "node:fs";
import { inNetns, openNetns } from "#core/linux/netns.ts";
import { jsonList, jsonObject } from "#core/k8s/json-read.ts";
import { kindPath, POD } from "#core/k8s/kinds.ts";
import { eventually } from "../../framework/eventually.ts";
import type { LoadStats } from "../../framework/load.ts";
import { killProcess } from "../../framework/node-inside.ts";
import { inNetworkOf, podProcesses } from "../../framework/pod-process.ts";
import { StepFailed, type Tour, type TourPod } from "../tour.ts";

const SECRET = "idle-words-in-clear";
const FIN_TIMEOUT_SECONDS = 3;
/** Below the range of source ports, so that nobody else in the pod has it. */
const IDLE_PORT = 31_999;
const IDLE_WRITE_AFTER_MS = 9_000;

export async function crashWithoutLeak(tour: Tour): Promise<void> {
  const { wire } = tour.parts;
  const frontend = await tour.pod("shop", "app=frontend");
  const ztunnel = (await tour.pods("istio-system", "app=ztunnel")).find((pod) => pod.node === frontend.node);
  if (ztunnel === undefined) throw new StepFailed("no ztunnel on the frontend's node");
  shortenFinTimeout(tour, frontend);
  const idle = idleWriter(tour, frontend);
  await untilIdleIsOpen(tour, frontend);
  const before = await tour.loadStats();
  const since = performance.now();
  kill(tour, ztunnel);
  await eventually("kubelet starts ztunnel again", async () =>
    (await restarts(tour, ztunnel)) >= 1 ? true : undefined,
  );
  await eventually("the new process runs", () => (processes(tour, ztunnel).length > 0 ? true : undefined));
  kill(tour, ztunnel);
  tour.show(
    "ztunnel of n1 killed with SIGKILL twice: the second time kubelet waits before it starts it again",
  );
  await eventually(
    "it is back",
    async () => ((await restarts(tour, ztunnel)) >= 2 && (await isReady(tour, ztunnel)) ? true : undefined),
    60_000,
  );
  tour.show(`away for ${((performance.now() - since) / 1000).toFixed(1)} s in all`);
  await eventually("requests succeed again", async () => {
    const one = await tour.loadStats();
    await new Promise((resolve) => setTimeout(resolve, 500));
    const two = await tour.loadStats();
    return two.fresh.ok > one.fresh.ok && two.kept.ok > one.kept.ok ? true : undefined;
  });
  const answer = await idle;
  tour.show(
    `idle connection that wrote ${IDLE_WRITE_AFTER_MS / 1000} s after the first kill (tcp_fin_timeout ${FIN_TIMEOUT_SECONDS} s): ${answer}`,
  );
  tour.check(answer !== "answered" && answer !== "not connected", "it reached nobody");
  await wire.settle();
  tour.check(wire.countText(SECRET, since) === 0, "nothing of it crossed the link");
  tour.check(
    wire.countText("GET /", since) === 0,
    "no readable HTTP crossed the link while ztunnel was away",
  );
  showLosses(tour, before, await tour.loadStats());
}

function showLosses(tour: Tour, before: LoadStats, after: LoadStats): void {
  const lost = Object.entries(after.reasons).flatMap(([reason, count]) => {
    const more = count - (before.reasons[reason] ?? 0);
    return more > 0 ? [`${more} x ${reason}`] : [];
  });
  const tried = after.fresh.tried + after.kept.tried - before.fresh.tried - before.kept.tried;
  tour.show(
    `of ${tried} requests tried: ${lost.length === 0 ? "none lost" : `${lost.join(", ")} (in flight at a kill)`}`,
  );
  tour.check(
    !lost.some((reason) => reason.includes("ECONNREFUSED")),
    "none was refused: arriving connections waited",
  );
}

function processes(tour: Tour, pod: TourPod): readonly number[] {
  const node = tour.parts.cluster.nodes.find((n) => n.name === pod.node);
  return node === undefined ? [] : podProcesses(node, pod.uid, ".mjs");
}

function kill(tour: Tour, pod: TourPod): void {
  const pids = processes(tour, pod);
  if (pids.length === 0) throw new StepFailed(`no process of ${pod.name} to kill`);
  for (const pid of pids) killProcess(pid);
}

function shortenFinTimeout(tour: Tour, pod: TourPod): void {
  const [pid] = processes(tour, pod);
  const netns = openNetns(`/proc/${pid}/ns/net`);
  try {
    inNetns(netns, () => writeFileSync("/proc/sys/net/ipv4/tcp_fin_timeout", String(FIN_TIMEOUT_SECONDS)));
  } finally {
    netns.close();
  }
}

/** Connects, says nothing, writes later; tells how that ended for the application. */
async function idleWriter(tour: Tour, pod: TourPod): Promise<string> {
  const script = `
    import { connect } from "node:net";
    const socket = connect({ host: "catalog", port: 8080, localPort: ${IDLE_PORT}, allowHalfOpen: true });
    let end = "";
    socket.on("connect", begin);
    setTimeout(() => { if (socket.connecting || socket.destroyed) { console.log("not connected"); process.exit(0); } }, 10_000).unref();
    const note = (text) => { if (end === "") end = text; };
    socket.on("error", (e) => note(e.code));
    socket.on("data", () => note("answered"));
    socket.on("end", () => note("ended by the peer"));
    function begin() {
      setTimeout(() => { socket.write("GET /${SECRET} HTTP/1.1\\r\\nhost: catalog\\r\\n\\r\\n"); }, ${IDLE_WRITE_AFTER_MS + 500});
      setTimeout(() => { console.log(end === "" ? "no answer" : end); process.exit(0); }, ${IDLE_WRITE_AFTER_MS + 3_500});
    }`;
  return (await tour.run(pod, script, 40_000)).trim();
}

async function untilIdleIsOpen(tour: Tour, pod: TourPod): Promise<void> {
  const [pid] = processes(tour, pod);
  if (pid === undefined) throw new StepFailed(`${pod.name} has no process to look at`);
  const look = ["ss", "-Htn", "state", "established", `( sport = :${IDLE_PORT} )`];
  await eventually("the idle connection is open", async () =>
    (await inNetworkOf(pid, look)).trim() === "" ? undefined : true,
  );
}

async function restarts(tour: Tour, pod: TourPod): Promise<number> {
  const [container] = await containers(tour, pod);
  return Number(container?.["restartCount"] ?? 0);
}

async function isReady(tour: Tour, pod: TourPod): Promise<boolean> {
  const [container] = await containers(tour, pod);
  return container?.["ready"] === true;
}

async function containers(tour: Tour, pod: TourPod): Promise<readonly Readonly<Record<string, unknown>>[]> {
  const path = kindPath(POD, { namespace: pod.namespace, name: pod.name });
  const object = jsonObject(await tour.parts.client.json({ method: "GET", path }));
  return jsonList(jsonObject(object["status"])["containerStatuses"]).map(jsonObject);
}
