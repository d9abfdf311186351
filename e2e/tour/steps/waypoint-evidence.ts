/** What the steps about waypoints look at: answers to one request, the catalog's own log, the waypoint's access log. */
import { setTimeout as sleep } from "node:timers/promises";
import {
  aroundWaypoint,
  type Arrival,
  arrivalsOf,
  passedIds,
  unevaluated,
} from "../../framework/arrivals.ts";
import { eventually } from "../../framework/eventually.ts";
import { containerLog, type LogLine } from "../../framework/node-inside.ts";
import { AUTOMATIC } from "../../framework/waypoints.ts";
import { StepFailed, type Tour, type TourPod } from "../tour.ts";

/** Log lines of requests that have their answer may come a moment later. */
const LOG_SETTLE_MS = 500;

export interface Answer {
  /** 0: there was none; `body` says why. */
  readonly status: number;
  readonly body: string;
}

export interface Ask {
  readonly method?: string;
  readonly url: string;
  readonly headers?: Readonly<Record<string, string>>;
}

/** One request from a pod over a connection of its own. */
export async function askFrom(tour: Tour, pod: TourPod, ask: Ask): Promise<Answer> {
  const script = `
    import { request } from "node:http";
    const { method = "GET", url, headers = {} } = ${JSON.stringify(ask)};
    const say = (status, body) => { console.log(JSON.stringify({ status, body })); process.exit(0); };
    const out = request(url, { method, headers, agent: false, timeout: 15000 }, (answer) => {
      let body = "";
      answer.on("data", (bytes) => (body += bytes));
      answer.on("end", () => say(answer.statusCode, body));
    });
    out.on("timeout", () => out.destroy(new Error("no answer in time")));
    out.on("error", (error) => say(0, error.code ?? error.message));
    out.end();`;
  return JSON.parse(await tour.run(pod, script, 25_000)) as Answer;
}

/** An answer in a few words. */
export function told({ status, body }: Answer): string {
  return status === 0 ? body : `${status} ${body.trim().slice(0, 60)}`;
}

export async function waypointPod(tour: Tour, gateway = AUTOMATIC): Promise<TourPod> {
  const label = `gateway.networking.k8s.io/gateway-name=${gateway}`;
  return eventually("one waypoint pod", async () => {
    const pods = await tour.pods("shop", label);
    return pods.length === 1 ? pods[0] : undefined;
  });
}

function lines(tour: Tour, pod: TourPod): readonly LogLine[] {
  const node = tour.parts.cluster.nodes.find((candidate) => candidate.name === pod.node);
  if (node === undefined) throw new StepFailed(`${pod.name} is on no node that can be looked into`);
  return containerLog(node, pod, pod.container);
}

/** The access log of a waypoint, all restarts. */
export function accessLines(tour: Tour, waypoint: TourPod): readonly LogLine[] {
  return lines(tour, waypoint).filter((line) => line["method"] !== undefined);
}

export async function accessLine(
  tour: Tour,
  waypoint: TourPod,
  wanted: (line: LogLine) => boolean,
): Promise<LogLine> {
  return eventually("its line in the access log", () => accessLines(tour, waypoint).findLast(wanted));
}

/** Everything that ever reached the catalog. */
async function arrivals(tour: Tour): Promise<readonly Arrival[]> {
  await sleep(LOG_SETTLE_MS);
  return arrivalsOf(lines(tour, await tour.pod("shop", "app=catalog")));
}

/** How many requests have reached the catalog: a moment to count from. */
export async function arrivalMark(tour: Tour): Promise<number> {
  return (await arrivals(tour)).length;
}

/** The catalog's own log since `mark`: all of it came from the waypoint. With `inLog`, the waypoint's log has each one too. */
export async function checkArrivals(
  tour: Tour,
  {
    mark,
    waypoint,
    inLog = true,
  }: { readonly mark: number; readonly waypoint: TourPod; readonly inLog?: boolean },
): Promise<readonly Arrival[]> {
  const seen = (await arrivals(tour)).slice(mark);
  await sleep(LOG_SETTLE_MS); // its line is written when a request has ended
  const around = aroundWaypoint(seen, waypoint.ips);
  for (const arrival of around.slice(0, 3)) tour.show(`around the waypoint: ${JSON.stringify(arrival)}`);
  tour.check(
    seen.length > 0 && around.length === 0,
    `the catalog's own log: ${seen.length} requests arrived, each of them from the waypoint ${waypoint.ips.join(", ")}`,
  );
  if (!inLog) return seen;
  const missing = unevaluated(seen, passedIds(accessLines(tour, waypoint)));
  for (const arrival of missing.slice(0, 3)) tour.show(`not evaluated: ${JSON.stringify(arrival)}`);
  tour.check(
    missing.length === 0,
    "and each is in the waypoint's log as evaluated and passed on (x-request-id)",
  );
  return seen;
}

const SHOWN = [
  "method",
  "path",
  "response_code",
  "src.identity",
  "policy",
  "rule",
  "explanation",
  "reason",
  "stage",
];

export function showLine(tour: Tour, line: LogLine): void {
  const shown = SHOWN.flatMap((key) =>
    line[key] === undefined ? [] : [`${key}=${JSON.stringify(line[key])}`],
  );
  tour.show(`waypoint log: ${shown.join(" ")}`);
}
