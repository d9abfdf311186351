/** Step 10: who dials the pod itself, or is not in the mesh, does not get around the waypoint. */
import { jsonText } from "#core/k8s/json-read.ts";
import { eventually } from "../../framework/eventually.ts";
import type { Tour, TourPod } from "../tour.ts";
import { arrivalMark, askFrom, checkArrivals, told, waypointPod } from "./waypoint-evidence.ts";
import { ITEMS } from "./waypoint-created.ts";

export async function nobodyGetsAround(tour: Tour): Promise<void> {
  const waypoint = await waypointPod(tour);
  const catalog = await tour.pod("shop", "app=catalog");
  const [frontend, visitor, intruder] = await Promise.all([
    tour.pod("shop", "app=frontend"),
    tour.pod("shop", "app=visitor"),
    tour.pod("street", "app=intruder"),
  ]);
  const pod = `http://${catalog.ips.find((ip) => !ip.includes(":"))}:8080`;
  const mark = await arrivalMark(tour);
  const write = await askFrom(tour, frontend, { method: "POST", url: `${pod}/items/901` });
  tour.check(write.status === 403, `frontend dials the pod's address: POST is ${told(write)}`);
  const read = await askFrom(tour, frontend, { url: `${pod}/items/902` });
  tour.check(
    read.status === 200,
    `and GET /items/902 is ${read.status}: the same rules, through the waypoint`,
  );
  const refused = await askFrom(tour, visitor, { url: `${pod}/items/903` });
  tour.check(refused.status === 403, `the visitor dials the pod's address: ${told(refused)}`);
  for (const [name, url] of [
    ["the service", `${ITEMS}/904`],
    ["the pod's address", `${pod}/items/905`],
  ] as const) {
    const answer = await askFrom(tour, intruder, { url });
    tour.check(answer.status === 0, `a caller outside the mesh dials ${name}: ${told(answer)}`);
  }
  await showRefusal(tour, catalog, intruder);
  const seen = await checkArrivals(tour, { mark, waypoint });
  const forbidden = seen.filter(({ path }) => /\/items\/90[1345]/.test(path));
  tour.check(forbidden.length === 0, "none of the refused requests is in the catalog's log");
}

/** One line at the catalog's ztunnel, with its reason. */
async function showRefusal(tour: Tour, catalog: TourPod, caller: TourPod): Promise<void> {
  const ztunnel = (await tour.pods("istio-system", "app=ztunnel")).find((z) => z.node === catalog.node);
  const line = await eventually("the refusal is logged", async () =>
    ztunnel === undefined
      ? undefined
      : (await tour.logLines(ztunnel)).findLast(
          (l) => l["error"] !== undefined && caller.ips.some((ip) => jsonText(l["src.addr"]).includes(ip)),
        ),
  );
  tour.show(
    `ztunnel log: reason ${jsonText(line["reason"])} stage ${jsonText(line["stage"])} policy ${jsonText(line["policy"])}`,
  );
  tour.check(
    /not-through-waypoint/i.test(jsonText(line["reason"])),
    "the destination's ztunnel says why: not through the waypoint",
  );
}
