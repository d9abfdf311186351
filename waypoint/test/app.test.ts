/** A waypoint's process around its proxy, under a controller and a CA that speak the real protocols. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { setTimeout as pause } from "node:timers/promises";
import { buildLeaf } from "#core/identity/build-certificate.ts";
import { parseCsr } from "#core/identity/csr.ts";
import { createFileCa, type FileCa } from "#core/identity/file-ca.ts";
import { policyKey, serviceKey } from "#core/model/ids.ts";
import { spiffeId } from "#core/model/spiffe-id.ts";
import { TYPE_URL_WAYPOINT } from "#core/model/waypoint.ts";
import type { WaypointConfig } from "#core/model/waypoint-config.ts";
import { TYPE_URL_ADDRESS } from "#core/model/well-known.ts";
import { EnvReader } from "#core/runtime/env.ts";
import { createLog } from "#core/runtime/log.ts";
import { aWorkload } from "#core/testing/builders.ts";
import { type FakeCa, startFakeCa } from "#core/testing/fake-ca.ts";
import { type FakeXdsServer, startFakeXdsServer } from "#core/testing/fake-xds-server.ts";
import { encodeAddress } from "#core/wire/address-codec.ts";
import { encodeWaypointConfig } from "#core/wire/waypoint-codec.ts";
import { startWaypoint, type Waypoint } from "../app.ts";
import { parseSettings } from "../config.ts";
import type { WaypointDeps } from "../waypoint-deps.ts";

const directory = mkdtempSync(join(tmpdir(), "ambit-wp-"));
after(() => rmSync(directory, { recursive: true, force: true }));
const IDENTITY = spiffeId({
  trustDomain: "cluster.local",
  namespace: "shop",
  serviceAccount: "ambit-waypoint",
});
const NAME = "shop/ambit-waypoint";
const web = aWorkload({ name: "web-1", namespace: "shop" });

const config = (change: Partial<WaypointConfig> = {}): WaypointConfig => ({
  name: NAME,
  automatic: true,
  pathNormalization: "base",
  clientCertField: false,
  services: [
    { service: serviceKey("shop", "web.shop.svc.cluster.local"), policies: [policyKey("shop", "p")] },
  ],
  workloads: [],
  policies: [{ key: policyKey("shop", "p"), action: "allow", dryRun: false, rules: [] }],
  ...change,
});

type Answer = Parameters<FakeCa["answerWith"]>[0];

interface Fixture {
  readonly root: FileCa;
  readonly waypoint: Waypoint;
  readonly deps: WaypointDeps;
  readonly xds: FakeXdsServer;
  readonly ca: FakeCa;
  readonly drained: PromiseWithResolvers<void>;
  readonly log: readonly string[];
  /** What the readiness port says. */
  ready(): Promise<string>;
}

/** The proxy is a fake one: what is tested is what it gets, and when. */
async function startFixture(
  t: { after(end: () => Promise<void>): void },
  env: Record<string, string> = {},
  answer?: Answer,
): Promise<Fixture> {
  const root = createFileCa({ trustDomain: "cluster.local" });
  const [xds, ca] = [await startFakeXdsServer(root), await startFakeCa(root)];
  ca.answerWith(answer ?? ((call) => ({ chain: signOwn(root, call.request.csrPem) })));
  writeFileSync(join(directory, "root.pem"), root.rootPem);
  writeFileSync(join(directory, "token"), "the-token\n");
  const settings = parseSettings(
    new EnvReader({
      GATEWAY_NAME: "ambit-waypoint",
      POD_NAME: "ambit-waypoint-1",
      POD_NAMESPACE: "shop",
      SERVICE_ACCOUNT: "ambit-waypoint",
      NODE_NAME: "n1",
      XDS_ADDRESS: xds.address,
      CA_ADDRESS: ca.address,
      XDS_ROOT_CA: join(directory, "root.pem"),
      CA_ROOT_CA: join(directory, "root.pem"),
      AUTH_TOKEN: join(directory, "token"),
      ADMIN_PORT: "0",
      STATS_PORT: "0",
      READINESS_PORT: "0",
      AMBIT_HANDLES: "public",
      ...env,
    }),
  );
  assert.ok(settings.ok, JSON.stringify(settings));
  const log: string[] = [];
  const control = createLog("waypoint", { level: "trace", write: (line) => void log.push(line) });
  const drained = Promise.withResolvers<void>();
  let deps: WaypointDeps | undefined;
  const waypoint = await startWaypoint(settings.value, control, async (given) => {
    deps = given;
    return { port: 1, drain: () => drained.promise, close: async () => drained.resolve() };
  });
  t.after(async () => {
    drained.resolve();
    await waypoint.stop();
    xds.stop();
    ca.stop();
  });
  assert.ok(deps !== undefined);
  const ready = async (): Promise<string> =>
    (await fetch(`http://127.0.0.1:${waypoint.ports.readiness}/healthz/ready`)).text();
  return { root, waypoint, deps, xds, ca, drained, log, ready };
}

function signOwn(root: FileCa, csrPem: string): readonly string[] {
  const csr = parseCsr(csrPem);
  assert.ok(csr.ok);
  const now = Date.now();
  const leaf = buildLeaf(root.signer, {
    identity: IDENTITY,
    publicKeyDer: csr.value.publicKeyDer,
    notBeforeMs: now - 1_000,
    notAfterMs: now + 3_600_000,
  });
  return [leaf, root.rootPem];
}

const pushAddresses = (xds: FakeXdsServer): void =>
  void xds.push({ typeUrl: TYPE_URL_ADDRESS, resources: [{ name: web.uid, body: encodeAddress(web) }] });
const pushConfig = (xds: FakeXdsServer, value: WaypointConfig, name = NAME): void =>
  void xds.push({ typeUrl: TYPE_URL_WAYPOINT, resources: [{ name, body: encodeWaypointConfig(value) }] });

async function eventually(what: string, holds: () => boolean | Promise<boolean>): Promise<void> {
  for (let tries = 0; !(await holds()); tries++) {
    assert.ok(tries < 1_000, what);
    await pause(5);
  }
}

test("asks under its own account, and is ready only with certificate, addresses and configuration", async (t) => {
  const { deps, xds, ca, ready } = await startFixture(t);
  const requests = [await xds.nextRequest(), await xds.nextRequest()];
  assert.deepEqual(
    requests.map((r) => [r.typeUrl, r.subscribe.filter((name) => name !== "*")]),
    [
      [TYPE_URL_ADDRESS, []],
      [TYPE_URL_WAYPOINT, [NAME]],
    ],
  );
  assert.equal(requests[0]?.node?.id, "waypoint~1.1.1.1~ambit-waypoint-1.shop~shop.svc.cluster.local");
  assert.equal(requests[0]?.node?.metadata["SERVICE_ACCOUNT"], "ambit-waypoint");
  await eventually("a certificate", () => deps.certificate.current() !== undefined);
  assert.deepEqual(
    ca.calls.map((call) => call.request.metadata),
    [{}],
    "no ImpersonatedIdentity",
  );
  assert.equal(deps.options.identity, IDENTITY);
  assert.match(await ready(), /pending: configuration/);
  pushConfig(xds, config());
  await xds.nextAck();
  assert.match(await ready(), /pending: configuration/, "addresses are missing");
  pushAddresses(xds);
  await xds.nextAck();
  await eventually("ready", async () => (await ready()) === "ready");
  assert.deepEqual(deps.config.get(), config());
  assert.equal(deps.mesh.workloads.get(web.uid)?.name, "web-1");
});

async function startReady(t: Parameters<typeof startFixture>[0]): Promise<Fixture> {
  const fixture = await startFixture(t);
  const { xds, ready } = fixture;
  for (const _ of [1, 2]) await xds.nextRequest();
  pushAddresses(xds);
  await xds.nextAck();
  pushConfig(xds, config());
  await xds.nextAck();
  await eventually("ready", async () => (await ready()) === "ready");
  return fixture;
}

test("a configuration is switched as a whole, and acknowledged after that", async (t) => {
  const { deps, xds } = await startReady(t);
  const next = config({ pathNormalization: "none", services: [], policies: [] });
  const seen: unknown[] = [];
  deps.config.subscribe((value) => seen.push(value));
  pushConfig(xds, next);
  await xds.nextAck();
  assert.deepEqual(seen, [next], "in force when the acknowledgement has left");
});

test("what cannot be used is refused with its reason, and what was in force stays", async (t) => {
  const { deps, xds, ready } = await startReady(t);
  const before = deps.config.get();
  const bad: readonly (readonly [string, Uint8Array, RegExp])[] = [
    [NAME, Uint8Array.of(0xff), /shop\/ambit-waypoint/],
    [NAME, encodeWaypointConfig(config({ name: "bank/ambit-waypoint" })), /inside is of bank/],
    [
      "bank/ambit-waypoint",
      encodeWaypointConfig(config({ name: "bank/ambit-waypoint" })),
      /this waypoint is shop/,
    ],
  ];
  for (const [name, body, reason] of bad) {
    xds.push({ typeUrl: TYPE_URL_WAYPOINT, resources: [{ name, body }] });
    assert.match((await xds.nextNack()).error?.message ?? "", reason);
    assert.equal(deps.config.get(), before);
  }
  assert.equal(await ready(), "ready");
});

test("without a configuration nothing is bound, and it is not ready until there is one again", async (t) => {
  const { deps, xds, ready } = await startReady(t);
  xds.push({ typeUrl: TYPE_URL_WAYPOINT, removed: [NAME] });
  await xds.nextAck();
  assert.equal(deps.config.get(), undefined);
  assert.match(await ready(), /pending: configuration/);
  pushConfig(xds, config());
  await xds.nextAck();
  assert.equal(await ready(), "ready");
});

test("while the controller is away it goes on with what it has", async (t) => {
  const { deps, xds, ready } = await startReady(t);
  xds.endStream(14);
  await eventually("the loss is noticed", () => xds.streamCount > 1);
  assert.deepEqual(deps.config.get(), config());
  assert.equal(await ready(), "ready");
});

test("without a certificate it is not ready, says why, and asks again", async (t) => {
  const refuse: Answer = () => ({ code: 16, details: "not yours" });
  const { ca, deps, log, ready, root } = await startFixture(t, {}, refuse);
  await eventually("a refusal in the log", () =>
    log.some((line) => line.includes("no certificate from the CA")),
  );
  assert.match(await ready(), /pending: certificate/);
  ca.answerWith((call) => ({ chain: signOwn(root, call.request.csrPem) }));
  await eventually("a certificate", () => deps.certificate.current() !== undefined);
  assert.doesNotMatch(await ready(), /certificate/);
});

test("with a certificate that has expired it is not ready", async (t) => {
  const { deps, ready } = await startReady(t);
  const expiresMs = deps.certificate.current()?.notAfterMs ?? 0;
  t.mock.timers.enable({ apis: ["Date"], now: expiresMs });
  assert.match(await ready(), /pending: certificate$/);
  t.mock.timers.reset();
  assert.equal(await ready(), "ready");
});

test("drains when told to stop: not ready at once, the proxy's requests may finish, then everything ends", async (t) => {
  const { waypoint, drained, ready } = await startReady(t);
  const stopping = waypoint.stop();
  assert.match(await ready(), /pending: draining/);
  drained.resolve();
  await stopping;
  await assert.rejects(ready());
});

test("a drain that does not end is cut at its deadline", async (t) => {
  const { waypoint, log } = await startFixture(t, { CONNECTION_TERMINATION_DEADLINE: "50ms" });
  await waypoint.stop();
  assert.ok(log.some((line) => /"outcome":"deadline"/.test(line)));
});

test("the dump shows the configuration and no key, the log neither key nor token", async (t) => {
  const { waypoint, log } = await startReady(t);
  const dump = await (await fetch(`http://127.0.0.1:${waypoint.ports.admin}/config_dump`)).text();
  assert.deepEqual(
    (JSON.parse(dump) as { waypoint: unknown }).waypoint,
    JSON.parse(JSON.stringify(config())),
  );
  assert.match(dump, /"state": "Available"/);
  assert.doesNotMatch(dump + log.join(""), /PRIVATE KEY|the-token/);
});

test("every setting that has no default is asked for", () => {
  const parsed = parseSettings(new EnvReader({}));
  assert.deepEqual(parsed.ok ? [] : parsed.problems.map(({ path }) => path), [
    "GATEWAY_NAME",
    "POD_NAME",
    "POD_NAMESPACE",
    "SERVICE_ACCOUNT",
    "NODE_NAME",
  ]);
});
