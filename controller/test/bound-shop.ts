/** For tests of bindings: the shop with an older L4 policy and `items`, which needs a waypoint, in a whole controller. */
import { kubeClientFor } from "#core/k8s/load-config.ts";
import { jsonList, jsonObject, jsonText } from "#core/k8s/json-read.ts";
import { ANNOTATION_BINDING } from "#core/model/waypoint.ts";
import { type Logger, silentLogger } from "#core/runtime/log.ts";
import { type Controller, startController } from "../app.ts";
import { parseRecord } from "../waypoints/gateway/waypoint-record.ts";
import { eventually, type Harness, policy, ROOTS, startHarness, testConfig } from "./harness.ts";
import {
  connectWaypoint,
  GATEWAYS,
  type Known,
  type Proxy,
  runDeployment,
  WAYPOINT_KEY,
} from "./waypoint-mesh.ts";

/** Short times: orders come from acknowledgements, not from clocks. */
const ENV = { AMBIT_WAYPOINT_DRAIN: "50ms", AMBIT_WAYPOINT_GRACE: "50ms" };
export const ITEMS = {
  selector: { matchLabels: { app: "catalog" } },
  rules: [{ to: [{ operation: { methods: ["GET"] } }] }],
};
const NO_VISITORS = {
  action: "DENY",
  rules: [{ from: [{ source: { principals: ["cluster.local/ns/shop/sa/visitor"] } }] }],
};
const stops: (() => Promise<unknown>)[] = [];

/** After each test. */
export async function stopAll(): Promise<void> {
  for (const stop of stops.splice(0).toReversed()) await stop();
}

export async function boundShop(seed?: (api: Harness["api"]) => void): Promise<Harness> {
  const h = await startHarness({
    env: ENV,
    seed: (api) => {
      api.put(ROOTS.authorizationPolicies, policy("shop", "no-visitors", NO_VISITORS));
      seed?.(api);
    },
  });
  stops.push(() => h.stop());
  return h;
}

/** Another controller in the place of the first, which has ended. */
export async function nextController(h: Harness, log: Logger = silentLogger): Promise<Controller> {
  const next = await startController(testConfig({ ...ENV, POD_NAME: "controller-1" }), {
    client: kubeClientFor({ server: h.api.url }),
    log,
  });
  stops.push(() => next.stop());
  await eventually("ready", () => next.readiness.isReady());
  return next;
}

export function kept<T extends Pick<Proxy, "disconnect">>(proxy: T): T {
  stops.push(() => proxy.disconnect());
  return proxy;
}

export function stages({ api }: Harness): string {
  const annotations = jsonObject(jsonObject(api.get(GATEWAYS, WAYPOINT_KEY)?.["metadata"])["annotations"]);
  const record = parseRecord(jsonText(annotations[ANNOTATION_BINDING]));
  return record.ok ? record.value.bindings.map(({ stage }) => stage).join() : "";
}

/** A condition of `items`: status, reason and message. */
export function enforced({ api }: Harness, type = "Enforced"): string {
  return conditionOf(api.get(ROOTS.authorizationPolicies, "shop/items"), type);
}

export function conditionOf(object: unknown, type: string): string {
  const found = jsonList(jsonObject(jsonObject(object)["status"])["conditions"])
    .map(jsonObject)
    .find((condition) => condition["type"] === type);
  return found === undefined
    ? ""
    : `${jsonText(found["status"])} ${jsonText(found["reason"])} ${jsonText(found["message"])}`;
}

export interface ItemsOptions {
  readonly generation?: number;
  readonly annotations?: Readonly<Record<string, string>>;
}

/** What status it has stays, as with a real API server. */
export function applyItems(
  h: Harness,
  spec: object = ITEMS,
  { generation = 1, annotations = {} }: ItemsOptions = {},
): void {
  const status = h.api.get(ROOTS.authorizationPolicies, "shop/items")?.["status"] ?? {};
  h.api.put(ROOTS.authorizationPolicies, {
    metadata: { namespace: "shop", name: "items", generation, annotations },
    spec,
    status,
  });
}

/** With a ready waypoint pod that is connected. */
export async function withWaypoint(h: Harness, controller: Controller = h.controller): Promise<Proxy> {
  await eventually("pods run", () => runDeployment(h));
  return kept(connectWaypoint({ h, controller }));
}

export const letters = (seen: readonly Known[]): string =>
  seen
    .map(
      ({ exempts, binds, denies }) => `${exempts ? "e" : ""}${binds ? "b" : ""}${denies ? "d" : ""}` || "-",
    )
    .join(" ");
