/** Step 13: a waypoint that a user asked for works as in Istio, and takes precedence: no automatic one appears beside it. */
import { eventually } from "../../framework/eventually.ts";
import { NO_VISITORS, OWN_GATEWAY, OWN_WAYPOINT, READ_ONLY } from "../../framework/l7-policies.ts";
import { AUTOMATIC, gatewaysOf, untilGone } from "../../framework/waypoints.ts";
import { ambit } from "../ambit-cli.ts";
import type { Tour } from "../tour.ts";
import { dbStats } from "./shop-db.ts";
import { accessLine, askFrom, showLine, told, waypointPod } from "./waypoint-evidence.ts";
import { ITEMS, waitEnforced } from "./waypoint-created.ts";

export async function explicitGateway(tour: Tour): Promise<void> {
  const { client, kubectl } = tour.parts;
  const [load, db] = [await tour.loadStats(), await dbStats(tour)];
  await kubectl.apply(OWN_GATEWAY);
  const printed = await kubectl.print(
    ["-n", "shop", "wait", "--for=condition=Programmed", `gateway/${OWN_WAYPOINT}`, "--timeout=60s"],
    70_000,
  );
  tour.show(printed ?? "");
  await eventually("Programmed", async () => {
    const gateway = (await gatewaysOf(client, "shop")).find(({ name }) => name === OWN_WAYPOINT);
    return gateway?.conditions.some(({ type, status }) => type === "Programmed" && status === "True")
      ? true
      : undefined;
  });
  await kubectl.labelNamespace("shop", "istio.io/use-waypoint", OWN_WAYPOINT);
  await kubectl.apply(READ_ONLY);
  tour.check(true, `Enforced after ${(await waitEnforced(tour, "read-only")).toFixed(1)} s`);
  const waypoint = await waypointPod(tour, OWN_WAYPOINT);
  const frontend = await tour.pod("shop", "app=frontend");
  const write = await eventually("the policy is enforced there", async () => {
    const answer = await askFrom(tour, frontend, { method: "POST", url: ITEMS });
    return answer.status === 403 ? answer : undefined;
  });
  tour.check(write.body === "RBAC: access denied", `POST /items is ${told(write)}`);
  const read = await askFrom(tour, frontend, { url: ITEMS });
  tour.check(read.status === 200, `GET /items is ${read.status}`);
  const line = await accessLine(tour, waypoint, (l) => l["method"] === "POST" && l["response_code"] === 403);
  showLine(tour, line);
  tour.check(line["policy"] === "shop/read-only", `decided by ${waypoint.name}`);
  const names = (await gatewaysOf(client, "shop")).map(({ name }) => name);
  tour.check(!names.includes(AUTOMATIC), `Gateways of the namespace: ${names.join(", ")}; no automatic one`);
  tour.show(await ambit(tour, ["waypoint", "list", "-n", "shop"]));
  await tour.checkLoad(load, { mayRetry: true });
  await kubectl.delete(READ_ONLY, "authorizationpolicy read-only -n shop");
  await kubectl.labelNamespace("shop", "istio.io/use-waypoint", undefined);
  await eventually("POST /items goes past it again", async () =>
    (await askFrom(tour, frontend, { method: "POST", url: ITEMS })).status === 200 ? true : undefined,
  );
  await kubectl.delete(OWN_GATEWAY, `gateway ${OWN_WAYPOINT} -n shop`);
  await untilGone(client, "shop", OWN_WAYPOINT);
  await kubectl.delete(NO_VISITORS, "authorizationpolicy no-visitors -n shop");
  const fresh = await dbStats(tour);
  tour.check(
    fresh.fresh.failed === db.fresh.failed,
    `database through an explicit waypoint, which takes every port: ${fresh.fresh.tried - db.fresh.tried} new sessions, none failed`,
  );
}
