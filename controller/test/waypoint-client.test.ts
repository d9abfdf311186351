/** A whole waypoint process (without its proxy) against a whole controller: own certificate, own configuration; nobody else gets either. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, test } from "node:test";
import { EnvReader } from "#core/runtime/env.ts";
import { createLog } from "#core/runtime/log.ts";
import { startWaypoint } from "#waypoint/app.ts";
import { parseSettings } from "#waypoint/config.ts";
import type { WaypointDeps } from "#waypoint/waypoint-deps.ts";
import { formatRecord } from "../waypoints/gateway/waypoint-record.ts";
import { account, eventually, type Harness, makeToken, pod, policy, ROOTS, startHarness } from "./harness.ts";

const GATEWAYS = "/apis/gateway.networking.k8s.io/v1/gateways";
const REPLICA_SETS = "/apis/apps/v1/replicasets";
const DEPLOYMENTS = "/apis/apps/v1/deployments";
const NAME = "ambit-waypoint";
const stops: (() => Promise<unknown>)[] = [];

afterEach(async () => {
  for (const stop of stops.splice(0).toReversed()) await stop();
});

interface PodChange {
  readonly account?: string;
  readonly owner?: { readonly kind: string; readonly name: string; readonly uid: string };
  readonly labels?: Readonly<Record<string, string>>;
  readonly deletionTimestamp?: string;
}

/** The controller with one recorded waypoint, and a pod that is one unless changed. */
async function withPod(change: PodChange = {}): Promise<Harness> {
  const h = await startHarness({
    seed: (api) => {
      api.put(GATEWAYS, {
        metadata: {
          namespace: "shop",
          name: NAME,
          uid: "uid-gateway",
          annotations: {
            "ambit.io/binding": formatRecord({ deploymentUid: "uid-deployment", bindings: [] }),
          },
        },
        spec: { gatewayClassName: "istio-waypoint", listeners: [] },
      });
      // Needed, so that the controller keeps it; its Deployment is the one that is recorded.
      api.put(
        ROOTS.authorizationPolicies,
        policy("shop", "read-items", {
          selector: { matchLabels: { app: "catalog" } },
          action: "ALLOW",
          rules: [{ to: [{ operation: { methods: ["GET"] } }] }],
        }),
      );
      api.put(DEPLOYMENTS, {
        metadata: {
          namespace: "shop",
          name: NAME,
          uid: "uid-deployment",
          ownerReferences: [
            {
              apiVersion: "gateway.networking.k8s.io/v1",
              kind: "Gateway",
              name: NAME,
              uid: "uid-gateway",
              controller: true,
            },
          ],
        },
      });
      api.put(REPLICA_SETS, {
        metadata: {
          namespace: "shop",
          name: `${NAME}-1`,
          uid: "uid-set",
          labels: { "gateway.networking.k8s.io/gateway-name": NAME },
          ownerReferences: [
            {
              apiVersion: "apps/v1",
              kind: "Deployment",
              name: NAME,
              uid: "uid-deployment",
              controller: true,
            },
          ],
        },
      });
      account(api, "shop", change.account ?? NAME);
      const owner = change.owner ?? { kind: "ReplicaSet", name: `${NAME}-1`, uid: "uid-set" };
      api.put(
        ROOTS.pods,
        pod("shop", "wp", {
          node: "node-1",
          ip: "10.244.1.9",
          account: change.account ?? NAME,
          metadata: {
            labels: change.labels ?? {
              "gateway.networking.k8s.io/gateway-name": NAME,
              "istio.io/dataplane-mode": "none",
            },
            ownerReferences: [{ apiVersion: "apps/v1", controller: true, ...owner }],
            ...(change.deletionTimestamp === undefined
              ? {}
              : { deletionTimestamp: change.deletionTimestamp }),
          },
        }),
      );
    },
  });
  stops.push(() => h.stop());
  return h;
}

interface Running {
  readonly deps: WaypointDeps;
  readonly log: readonly string[];
}

/** Under the pod's own token. */
async function startAs(h: Harness, serviceAccount = NAME): Promise<Running> {
  const directory = mkdtempSync(join(tmpdir(), "ambit-wpc-"));
  stops.push(async () => rmSync(directory, { recursive: true, force: true }));
  const token = makeToken({ sub: `system:serviceaccount:shop:${serviceAccount}` });
  h.tokens.set(token, {
    account: `system:serviceaccount:shop:${serviceAccount}`,
    accountUid: `uid-account-${serviceAccount}`,
    podName: "wp",
    podUid: "uid-wp",
    node: "node-1",
    audiences: ["istio-ca"],
  });
  writeFileSync(join(directory, "root.pem"), h.rootsPem());
  writeFileSync(join(directory, "token"), token);
  const address = `localhost:${h.controller.ports().grpc}`;
  const settings = parseSettings(
    new EnvReader({
      GATEWAY_NAME: NAME,
      POD_NAME: "wp",
      POD_NAMESPACE: "shop",
      SERVICE_ACCOUNT: serviceAccount,
      NODE_NAME: "node-1",
      XDS_ADDRESS: address,
      CA_ADDRESS: address,
      XDS_ROOT_CA: join(directory, "root.pem"),
      CA_ROOT_CA: join(directory, "root.pem"),
      AUTH_TOKEN: join(directory, "token"),
      ADMIN_PORT: "0",
      STATS_PORT: "0",
      READINESS_PORT: "0",
      AMBIT_HANDLES: "public",
    }),
  );
  assert.ok(settings.ok, JSON.stringify(settings));
  const log: string[] = [];
  const control = createLog("waypoint", { level: "debug", write: (line) => void log.push(line) });
  let deps: WaypointDeps | undefined;
  const waypoint = await startWaypoint(settings.value, control, async (given) => {
    deps = given;
    return { port: 1, drain: () => Promise.resolve(), close: () => Promise.resolve() };
  });
  stops.push(() => waypoint.stop());
  assert.ok(deps !== undefined);
  return { deps, log };
}

test("a recorded waypoint gets the certificate of its account, the mesh, and its own configuration", async () => {
  const { deps } = await startAs(await withPod());
  await eventually("a certificate", () => deps.certificate.current() !== undefined);
  assert.equal(deps.certificate.current()?.identity, "spiffe://cluster.local/ns/shop/sa/ambit-waypoint");
  await eventually("the configuration", () => deps.config.get() !== undefined);
  assert.equal(deps.config.get()?.name, "shop/ambit-waypoint");
  assert.ok(deps.mesh.workloads.size >= 2, "the shop");
});

const refused: readonly (readonly [string, PodChange, RegExp])[] = [
  [
    "a foreign pod with the waypoint's label",
    { account: "frontend" },
    /runs as frontend, the waypoint as ambit-waypoint/,
  ],
  [
    "a pod with label and account whose owner is another's",
    { owner: { kind: "ReplicaSet", name: `${NAME}-1`, uid: "uid-of-an-earlier-one" } },
    /earlier ReplicaSet/,
  ],
  [
    "a pod with label and account that nobody owns",
    { owner: { kind: "Job", name: "x", uid: "x" } },
    /no ReplicaSet/,
  ],
  ["a pod without the label", { labels: {} }, /no label/],
];
for (const [name, change, why] of refused) {
  test(`gets neither certificate nor configuration: ${name}`, async () => {
    const h = await withPod(change);
    const { deps, log } = await startAs(h, change.account);
    await eventually("both refusals", () => {
      const ca = h.log.some((line) => /certificate refused/.test(line) && why.test(line));
      const xds = h.log.some((line) => /client refused/.test(line) && why.test(line));
      return ca && xds;
    });
    assert.equal(deps.certificate.current(), undefined);
    assert.equal(deps.config.get(), undefined);
    assert.equal(deps.mesh.workloads.size, 0);
    await eventually("its own words", () => log.some((line) => line.includes("no certificate from the CA")));
  });
}

test("a waypoint that is being deleted gets no new certificate, and hears of its configuration to its end", async () => {
  const h = await withPod({ deletionTimestamp: new Date(Date.now() + 30_000).toISOString() });
  const { deps } = await startAs(h);
  await eventually("a refusal", () =>
    h.log.some((line) => /certificate refused/.test(line) && /being deleted/.test(line)),
  );
  await eventually("the configuration", () => deps.config.get() !== undefined);
  assert.equal(deps.certificate.current(), undefined);
});
