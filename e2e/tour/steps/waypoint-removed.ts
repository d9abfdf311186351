/** Step 12: without the policy nothing needs the waypoint: it is unbound, drains, and goes after its grace period. */
import { ITEMS_POLICY } from "../../framework/l7-policies.ts";
import { AUTOMATIC, untilGone } from "../../framework/waypoints.ts";
import { ambit } from "../ambit-cli.ts";
import type { Tour } from "../tour.ts";
import { checkDatabase, dbStats } from "./shop-db.ts";
import { eventually } from "../../framework/eventually.ts";
import { askFrom, told } from "./waypoint-evidence.ts";
import { ITEMS } from "./waypoint-created.ts";

export async function waypointRemoved(tour: Tour): Promise<void> {
  const { client, kubectl } = tour.parts;
  const frontend = await tour.pod("shop", "app=frontend");
  const [load, db] = [await tour.loadStats(), await dbStats(tour)];
  await kubectl.delete(ITEMS_POLICY, "authorizationpolicy items -n shop");
  const began = performance.now();
  const answer = await eventually("POST /items is allowed again", async () => {
    const write = await askFrom(tour, frontend, { method: "POST", url: ITEMS });
    return write.status === 200 ? write : undefined;
  });
  tour.check(true, `the policy is gone: POST /items is ${told(answer).slice(0, 3)} again`);
  await untilGone(client, "shop", AUTOMATIC);
  tour.show(
    `Gateway and pod are gone ${((performance.now() - began) / 1_000).toFixed(1)} s after the policy`,
  );
  tour.show((await kubectl.print(["-n", "shop", "get", "gateways,pods"])) ?? "");
  tour.show(await ambit(tour, ["waypoint", "list", "-n", "shop"]));
  await tour.checkLoad(load, { mayRetry: true });
  await checkDatabase(tour, db);
  const refused = await askFrom(tour, await tour.pod("shop", "app=visitor"), { url: ITEMS });
  tour.check(
    refused.status === 0,
    `the older L4 policy is enforced at the catalog's node again: ${told(refused)}`,
  );
}
