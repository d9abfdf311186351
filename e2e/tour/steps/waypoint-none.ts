/** Step 8: an enrolled namespace without an HTTP policy has no waypoint; what is new here is an L4 policy and a database. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { applyManifest, parseManifests } from "#local/manifests.ts";
import { eventually } from "../../framework/eventually.ts";
import { NO_VISITORS } from "../../framework/l7-policies.ts";
import { gatewaysOf } from "../../framework/waypoints.ts";
import { ambit } from "../ambit-cli.ts";
import type { Tour } from "../tour.ts";
import { CATALOG_POLICY } from "./authorize.ts";
import { dbStats } from "./shop-db.ts";

const DATABASE = join(import.meta.dirname, "../../../local/samples/shop-db.yaml");

export async function noWaypointWithoutNeed(tour: Tour): Promise<void> {
  const { client, kubectl } = tour.parts;
  await kubectl.delete(CATALOG_POLICY, "authorizationpolicy catalog -n shop");
  await kubectl.apply(NO_VISITORS);
  tour.show("$ kubectl apply -f local/samples/shop-db.yaml");
  for (const manifest of parseManifests(readFileSync(DATABASE, "utf8"), DATABASE))
    await applyManifest(client, manifest);
  await eventually("the database's client has its answers", async () =>
    (await dbStats(tour)).fresh.ok > 0 ? true : undefined,
  );
  tour.show((await kubectl.print(["-n", "shop", "get", "gateways,pods"])) ?? "");
  const gateways = await gatewaysOf(client, "shop");
  tour.check(
    gateways.length === 0,
    "there is no Gateway and no waypoint pod, though L4 policies are enforced",
  );
  const list = await ambit(tour, ["waypoint", "list", "-n", "shop"]);
  tour.show(list);
  tour.check(
    /No waypoints found/i.test(list) && /shop/.test(list),
    "ambit waypoint list says that there is none, and why",
  );
}
