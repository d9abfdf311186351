/**
 * What is closed stays closed in a whole controller: records that are damaged or gone, with and without a restart; policies that were about
 * connections; and those that ask to be enforced immediately. `letters` is what a ztunnel has been told: e, b, d for exemption, binding, DENY.
 */
import assert from "node:assert/strict";
import { afterEach, test } from "node:test";
import { jsonObject } from "#core/k8s/json-read.ts";
import { ANNOTATION_BINDING } from "#core/model/waypoint.ts";
import {
  applyItems,
  boundShop,
  conditionOf,
  enforced,
  ITEMS,
  kept,
  letters,
  nextController,
  stages,
  stopAll,
  withWaypoint,
} from "./bound-shop.ts";
import { eventually, type Harness, ROOTS } from "./harness.ts";
import {
  connectWaypoint,
  connectZtunnel,
  DEPLOYMENTS,
  GATEWAYS,
  type Proxy,
  WAYPOINT_KEY,
} from "./waypoint-mesh.ts";

afterEach(stopAll);

const IMMEDIATELY = { annotations: { "ambit.io/enforce": "immediately" } };

const twoZtunnels = (h: Harness, controller = h.controller): readonly Proxy[] =>
  [1, 2].map((n) => kept(connectZtunnel({ h, controller }, n)));

/** The policy is enforced, its status says what it closes, and both ztunnels have been told. */
async function enforcedShop(): Promise<{ readonly h: Harness; readonly ztunnels: readonly Proxy[] }> {
  const h = await boundShop();
  const ztunnels = twoZtunnels(h);
  applyItems(h);
  await withWaypoint(h);
  await eventually(`Enforced: ${enforced(h)}`, () => enforced(h).startsWith("True"));
  assert.equal(
    enforced(h, "Guarded"),
    "True OnlyThroughWaypoint pods are reached through their waypoint alone in shop",
  );
  for (const { seen } of ztunnels) assert.equal(letters(seen), "- e eb ebd");
  return { h, ztunnels };
}

/** Policies come before the addresses that name them, in the same push. Nothing is ever bound and not closed, and what is closed does not open. */
function assertNeverOpened({ seen }: Proxy): void {
  assert.match(letters(seen), /^(- )?(e )?ebd$/);
}

/** `text` undefined takes the annotation away. */
function damage({ api }: Harness, text: string | undefined): void {
  const gateway = jsonObject(api.get(GATEWAYS, WAYPOINT_KEY));
  const metadata = jsonObject(gateway["metadata"]);
  const { [ANNOTATION_BINDING]: record, ...annotations } = jsonObject(metadata["annotations"]);
  assert.ok(record !== undefined);
  const damaged = text === undefined ? annotations : { ...annotations, [ANNOTATION_BINDING]: text };
  api.put(GATEWAYS, { ...gateway, metadata: { ...metadata, annotations: damaged } });
}

/** What a garbage collector does after the Gateway has gone. */
function collect({ api }: Harness): void {
  api.remove(DEPLOYMENTS, WAYPOINT_KEY);
  api.remove(ROOTS.serviceAccounts, WAYPOINT_KEY);
  api.remove(ROOTS.services, WAYPOINT_KEY);
}

const DAMAGES: readonly (readonly [string, (h: Harness) => void])[] = [
  ["is damaged", (h) => damage(h, "{")],
  ["is of a form that is not known", (h) => damage(h, '{"form":2}')],
  ["is taken away", (h) => damage(h, undefined)],
  ["is empty, and well formed", (h) => damage(h, '{"form":1}')],
  [
    "goes with its Gateway",
    (h) => {
      h.api.remove(GATEWAYS, WAYPOINT_KEY);
      collect(h);
    },
  ],
];

for (const [what, harm] of DAMAGES) {
  test(`a record that ${what} while the controller runs: no ztunnel is told anything else, and it is made anew, closed`, async () => {
    const { h, ztunnels } = await enforcedShop();
    harm(h);
    await eventually("made anew", () => /^(denying|enforced)$/.test(stages(h)));
    await withWaypoint(h);
    await eventually(
      `Enforced: ${enforced(h)}`,
      () => enforced(h).startsWith("True") && stages(h) === "enforced",
    );
    for (const { seen } of ztunnels) assert.equal(letters(seen), "- e eb ebd");
  });

  test(`a record that ${what} while no controller runs: the next one tells nothing else from its first push on`, async () => {
    const { h } = await enforcedShop();
    await h.controller.stop();
    harm(h);
    const next = await nextController(h);
    const ztunnels = twoZtunnels(h, next);
    await eventually("made anew", () => /^(denying|enforced)$/.test(stages(h)));
    await withWaypoint(h, next);
    await eventually(
      `Enforced: ${enforced(h)}`,
      () => enforced(h).startsWith("True") && stages(h) === "enforced",
    );
    for (const one of ztunnels) assertNeverOpened(one);
  });
}

test("what was wrong with a record is said in the log and on the Gateway", async () => {
  const { h } = await enforcedShop();
  damage(h, "{");
  await eventually("said", () =>
    /annotation ambit\.io\/binding\) is not JSON, and is made anew/.test(
      conditionOf(h.api.get(GATEWAYS, WAYPOINT_KEY), "Accepted"),
    ),
  );
  const line = h.log.find((one) => one.includes("record lost"));
  assert.match(line ?? "", /"level":"warn".*is not JSON.*shop\/items/);
});

test("a Gateway of the reserved name that nobody needs is left alone; once a policy needs it, it is the controller's, and closed", async () => {
  const spec = { gatewayClassName: "istio-waypoint", listeners: [] };
  const h = await boundShop((api) =>
    api.put(GATEWAYS, { metadata: { namespace: "shop", name: "ambit-waypoint" }, spec }),
  );
  const ztunnels = twoZtunnels(h);
  await eventually("they know", () => ztunnels.every(({ seen }) => seen.length > 0));
  const writes = (): number =>
    h.api.requests.filter(({ method, path }) => method !== "GET" && path.endsWith("/gateways/ambit-waypoint"))
      .length;
  assert.equal(writes(), 0);
  assert.equal(h.api.get(DEPLOYMENTS, WAYPOINT_KEY), undefined);
  applyItems(h);
  await withWaypoint(h);
  await eventually(`Enforced: ${enforced(h)}`, () => enforced(h).startsWith("True"));
  for (const one of ztunnels) assertNeverOpened(one);
});

test("immediately: the first that ztunnels hear of the policy closes its pods, and Enforced waits for the waypoint all the same", async () => {
  const h = await boundShop();
  const ztunnels = twoZtunnels(h);
  await eventually("they know", () => ztunnels.every(({ seen }) => seen.length > 0));
  applyItems(h, ITEMS, IMMEDIATELY);
  await eventually("closed", () => ztunnels.every(({ seen }) => letters(seen).endsWith(" ebd")));
  assert.match(enforced(h), /^False/);
  await eventually("said", () => enforced(h, "Guarded").startsWith("True OnlyThroughWaypoint"));
  assert.match(enforced(h), /^False/);
  await withWaypoint(h);
  await eventually(`Enforced: ${enforced(h)}`, () => enforced(h).startsWith("True"));
  for (const one of ztunnels) assertNeverOpened(one);
});

test("immediately, for a whole namespace; and asked for later, in the middle of the gradual order", async () => {
  const h = await boundShop();
  const [first] = twoZtunnels(h);
  applyItems(h);
  await eventually(
    "it waits for a waypoint",
    () => /WaypointStarting/.test(enforced(h)) && stages(h) === "starting",
  );
  const namespace = jsonObject(h.api.get(ROOTS.namespaces, "shop"));
  const metadata = { ...jsonObject(namespace["metadata"]), ...IMMEDIATELY };
  h.api.put(ROOTS.namespaces, { ...namespace, metadata });
  await eventually(`closed: ${letters(first?.seen ?? [])}`, () =>
    letters(first?.seen ?? []).endsWith(" ebd"),
  );
  if (first !== undefined) assertNeverOpened(first);
  assert.equal(stages(h), "denying");
});

test("any other value is named in the condition, and enforces in the usual order", async () => {
  const h = await boundShop();
  const ztunnels = twoZtunnels(h);
  const namespace = jsonObject(h.api.get(ROOTS.namespaces, "shop"));
  const annotations = { "ambit.io/enforce": "now" };
  h.api.put(ROOTS.namespaces, {
    ...namespace,
    metadata: { ...jsonObject(namespace["metadata"]), annotations },
  });
  applyItems(h, ITEMS, { annotations: { "ambit.io/enforce": "IMMEDIATELY" } });
  await withWaypoint(h);
  await eventually(`Enforced: ${enforced(h)}`, () => enforced(h).startsWith("True"));
  assert.match(enforced(h), /metadata\.annotations ambit\.io\/enforce "IMMEDIATELY" is not known/);
  assert.match(enforced(h), /namespace shop: metadata\.annotations ambit\.io\/enforce "now" is not known/);
  for (const { seen } of ztunnels) assert.equal(letters(seen), "- e eb ebd");
});

const L4 = { selector: ITEMS.selector, rules: [{ from: [{ source: { namespaces: ["shop"] } }] }] };

test("a policy about connections becomes one about requests and the controller ends at once: the next one closes its pods until Enforced", async () => {
  const h = await boundShop();
  applyItems(h, L4);
  await eventually("theirs", () => enforced(h, "ZtunnelAccepted").startsWith("True"));
  await h.controller.stop();
  applyItems(h, ITEMS, { generation: 2 });
  const next = await nextController(h);
  const ztunnels = twoZtunnels(h, next);
  await withWaypoint(h, next);
  await eventually(`Enforced: ${enforced(h)}`, () => enforced(h).startsWith("True"));
  for (const one of ztunnels) assertNeverOpened(one);
});

test("... and when it ends later, in the middle of the order, with its status written", async () => {
  const h = await boundShop();
  const ztunnels = twoZtunnels(h);
  await eventually("they know", () => ztunnels.every(({ seen }) => seen.length > 0));
  applyItems(h, L4);
  await eventually("theirs", () => enforced(h, "ZtunnelAccepted").startsWith("True"));
  applyItems(h, ITEMS, { generation: 2 });
  await eventually("said", () => enforced(h, "Guarded").startsWith("True FormerVersion"));
  await eventually("recorded", () => stages(h) === "starting");
  for (const { seen } of ztunnels)
    assert.equal(letters(seen), "-", "who remembers lets through whom the older version lets through");
  await h.controller.stop();
  const next = await nextController(h);
  const after = twoZtunnels(h, next);
  kept(connectWaypoint({ h, controller: next }));
  await withWaypoint(h, next);
  await eventually(`Enforced: ${enforced(h)}`, () => enforced(h).startsWith("True"));
  for (const one of after) assertNeverOpened(one);
  assert.equal(
    enforced(h, "Guarded"),
    "True OnlyThroughWaypoint pods are reached through their waypoint alone in shop",
  );
});

test("what becomes an L4 policy again guards nothing any more", async () => {
  const { h } = await enforcedShop();
  applyItems(h, L4, { generation: 2 });
  await eventually("taken back", () => enforced(h, "Guarded") === "");
  await eventually(
    "let go",
    () => h.api.get(GATEWAYS, WAYPOINT_KEY) === undefined || stages(h) === "resting",
  );
});
