/** The sample shop as suites about waypoints use it: enrolled, with its database, and a visitor that an older L4 policy refuses. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { deleteManifest, parseManifests } from "#local/manifests.ts";
import { aroundWaypoint, type Arrival, arrivalsOf, passedIds, unevaluated } from "./arrivals.ts";
import { eventually } from "./eventually.ts";
import type { Mesh } from "./mesh.ts";
import { get, request } from "./http-moves.ts";
import { containerLog, type LogLine } from "./node-inside.ts";
import type { DbStats } from "./db-stats.ts";
import { untilInForce } from "./policies.ts";
import { applyYaml, onlyPod, type PodFacts, runPod } from "./pods.ts";
import { NO_VISITORS } from "./l7-policies.ts";
import { enrol, type HandledPod, openShop, type Shop, withHands } from "./shop.ts";
import { AUTOMATIC, waypointPodsOf } from "./waypoints.ts";

export const CATALOG = { host: "catalog.shop", port: 8080 };
export const REFUSED = { status: 403, body: "RBAC: access denied" };

export interface L7Shop extends Shop {
  /** In the mesh, on n1, under the account that the older policy refuses. */
  readonly visitor: HandledPod;
  readonly dbClient: HandledPod;
}

export async function openL7Shop(mesh: Mesh): Promise<L7Shop> {
  const shop = await openShop(mesh);
  await applyYaml(
    mesh.client,
    readFileSync(join(import.meta.dirname, "../../local/samples/shop-db.yaml"), "utf8"),
  );
  const [visitor, dbClient] = await Promise.all([
    runPod(mesh.client, { namespace: "shop", name: "visitor", node: "n1" }),
    onlyPod(mesh.client, "shop", "app=db-client"),
  ]);
  await enrol(mesh, "shop");
  await applyYaml(mesh.client, NO_VISITORS);
  await untilInForce(mesh, NO_VISITORS);
  return { ...shop, visitor: await withHands(mesh, visitor), dbClient: await withHands(mesh, dbClient) };
}

export async function removeYaml(mesh: Mesh, yaml: string): Promise<void> {
  for (const manifest of parseManifests(yaml, "suite")) await deleteManifest(mesh.client, manifest);
}

/** Status and body of a request; the system's code when there was no answer. */
export async function asked(
  pod: HandledPod,
  path: string,
  { method = "GET", host = CATALOG.host, port = CATALOG.port } = {},
): Promise<{ readonly status: number; readonly body: string }> {
  try {
    return await pod.hands.run(request, { host, port, method, path });
  } catch (error) {
    return { status: 0, body: String(Reflect.get(error as Error, "code")) };
  }
}

export async function theWaypoint(mesh: Mesh, gateway = AUTOMATIC, namespace = "shop"): Promise<PodFacts> {
  return eventually(`one waypoint pod in ${namespace}`, async () => {
    const pods = await waypointPodsOf(mesh.client, namespace, gateway);
    return pods.length === 1 && pods[0]?.ready === true ? pods[0] : undefined;
  });
}

/** Access log of a waypoint, all restarts. */
export function accessLog(mesh: Mesh, waypoint: PodFacts): readonly LogLine[] {
  const lines = containerLog(mesh.node(waypoint.node), waypoint, waypoint.container);
  return lines.filter((line) => line["method"] !== undefined);
}

/** The catalog's own log. */
export class ArrivalWatch {
  readonly #mesh: Mesh;
  readonly #catalog: PodFacts;
  #mark = 0;

  constructor(mesh: Mesh, catalog: PodFacts) {
    this.#mesh = mesh;
    this.#catalog = catalog;
  }

  /** What arrives from now on counts. */
  begin(): void {
    this.#mark = this.#all().length;
  }

  since(): readonly Arrival[] {
    return this.#all().slice(this.#mark);
  }

  /** Everything since `begin` came from the waypoint; with `inLog`, its access log has each request as passed on. */
  async expectEvaluated(waypoint: PodFacts, { inLog = true } = {}): Promise<readonly Arrival[]> {
    const seen = this.since();
    assert.ok(seen.length > 0, "nothing arrived: this proves nothing");
    assert.deepEqual(aroundWaypoint(seen, waypoint.ips), [], "requests that came around the waypoint");
    if (inLog)
      await eventually("the waypoint's log has every arrival", () => {
        const missing = unevaluated(seen, passedIds(accessLog(this.#mesh, waypoint)));
        if (missing.length > 0) throw new Error(JSON.stringify(missing.slice(0, 3)));
        return true;
      });
    return seen;
  }

  #all(): readonly Arrival[] {
    return arrivalsOf(
      containerLog(this.#mesh.node(this.#catalog.node), this.#catalog, this.#catalog.container),
    );
  }
}

export async function dbStats(shop: L7Shop): Promise<DbStats> {
  const { body } = await shop.dbClient.hands.run(get, "http://127.0.0.1:9090/stats");
  return JSON.parse(body) as DbStats;
}

/** The session that stays is the same one, new ones succeed, and the database sees its client's own address. */
export async function expectDatabaseUntouched(shop: L7Shop, before: DbStats): Promise<void> {
  const { kept, fresh, reasons } = await eventually("new sessions", async () => {
    const now = await dbStats(shop);
    return now.fresh.ok > before.fresh.ok && now.kept.answered > before.kept.answered ? now : undefined;
  });
  assert.equal(kept.lost, "", "the session that stays");
  assert.equal(fresh.failed, before.fresh.failed, JSON.stringify(reasons));
  assert.ok(
    shop.dbClient.ips.some((ip) => ip === kept.peer.replace("::ffff:", "")),
    `the database sees ${kept.peer}`,
  );
}
