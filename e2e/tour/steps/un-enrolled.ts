/** Step 1: without the mesh the link shows readable HTTP, which proves that the capture can see plaintext. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { applyManifest, parseManifests } from "#local/manifests.ts";
import { eventually } from "../../framework/eventually.ts";
import type { Tour } from "../tour.ts";

const SHOP = join(import.meta.dirname, "../../../local/samples/shop.yaml");

export async function unEnrolledShop(tour: Tour): Promise<void> {
  const { client, wire } = tour.parts;
  tour.show("$ kubectl apply -f local/samples/shop.yaml");
  for (const manifest of parseManifests(readFileSync(SHOP, "utf8"), SHOP))
    await applyManifest(client, manifest);
  await eventually(
    "the shop is up and its load runs",
    async () => {
      const before = await tour.loadStats();
      await new Promise((resolve) => setTimeout(resolve, 500));
      const after = await tour.loadStats();
      const fine = after.fresh.ok > before.fresh.ok && after.kept.ok > before.kept.ok;
      return fine && after.fresh.failed === before.fresh.failed && after.kept.failed === before.kept.failed
        ? true
        : undefined;
    },
    60_000,
  );
  const frontend = await tour.pod("shop", "app=frontend");
  const catalog = await tour.pod("shop", "app=catalog");
  tour.show(`frontend ${frontend.name} (${frontend.ips.join(", ")}) on ${frontend.node}`);
  tour.show(`catalog  ${catalog.name} (${catalog.ips.join(", ")}) on ${catalog.node}`);
  tour.check(frontend.node !== catalog.node, "frontend and catalog are on different nodes");
  const before = await tour.loadStats();
  const since = performance.now();
  await new Promise((resolve) => setTimeout(resolve, 2_000));
  await wire.settle();
  await tour.checkLoad(before);
  const readable = wire.countText("GET /items", since);
  tour.show(`on the link: ${wire.sampleText("GET /items") ?? "nothing"}`);
  tour.check(readable > 0, `the capture on the link between the nodes reads ${readable} HTTP requests`);
}
