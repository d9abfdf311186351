/**
 * The whole way in one process: an application, its ztunnel, the waypoint, the destination's ztunnel, the other application. Bound and
 * unbound under load in the order that the controller keeps; no request is lost, and none arrives that was not judged.
 */
import assert from "node:assert/strict";
import { Agent, createServer, request, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { test } from "node:test";
import { setTimeout as pause } from "node:timers/promises";
import { systemClock } from "#core/base/clock.ts";
import { createWatchValue } from "#core/base/watch-value.ts";
import { chooseBackend } from "#core/handle/choose-handle.ts";
import { policyKey, serviceKey } from "#core/model/ids.ts";
import type { RequestPolicy } from "#core/model/request-policy.ts";
import type { Service } from "#core/model/service.ts";
import { ONLY_THROUGH_WAYPOINT } from "#core/model/waypoint.ts";
import type { WaypointConfig } from "#core/model/waypoint-config.ts";
import { HBONE_PORT } from "#core/model/well-known.ts";
import { type Workload, workloadIdentity } from "#core/model/workload.ts";
import { createLog } from "#core/runtime/log.ts";
import { anAuthorizationOf, aPolicyKey } from "#core/testing/builders.ts";
import { AUTOMATIC, FakeWaypoint } from "#ztunnel/test/fake-waypoint.ts";
import { identityOf, serviceFor, TestMesh, type TestNode, type TestPod } from "#ztunnel/test/test-mesh.ts";
import { Registry } from "prom-client";
import { serveWaypoint } from "../serve-waypoint.ts";
import { endpointDialer } from "../upstream/dial-endpoint.ts";
import type { WaypointDeps, WaypointServer } from "../waypoint-deps.ts";

const limits = { timeout: 60_000 };
const ANY = { any: [], none: [] };

interface World {
  readonly mesh: TestMesh;
  readonly here: TestNode;
  readonly there: TestNode;
  readonly clientPod: TestPod;
  readonly serverPod: TestPod;
  readonly service: Service;
  /** `METHOD /path` of each request that arrived. */
  readonly arrived: string[];
  readonly config: WaypointDeps["config"];
  /** Steps of the transition, as the controller pushes them. */
  readonly steps: { exempt(): void; bind(): void; deny(): void; lift(): void; unbind(): void };
}

async function withWorld(work: (world: World) => Promise<void>): Promise<void> {
  const mesh = new TestMesh(chooseBackend());
  const [here, there] = [mesh.node(), mesh.node()];
  const arrived: string[] = [];
  let app: Server | undefined;
  let waypoint: WaypointServer | undefined;
  try {
    const clientPod = await here.pod({ name: "frontend" });
    const serverPod = await there.pod({ name: "catalog" });
    app = await catalog(serverPod.address, arrived);
    const made = serviceFor(clientPod, serverPod, (app.address() as AddressInfo).port);
    const ports = made.service.ports.map((port) => ({ ...port, appProtocol: "http11" as const }));
    const service = { ...made.service, ports };
    const gateway = new FakeWaypoint(mesh);
    mesh.commit(service, FakeWaypoint.service(), gateway.workload);
    const config = createWatchValue<WaypointConfig | undefined>(
      configOf(service, made.workload, identityOf(clientPod)),
    );
    waypoint = await startWaypoint(there, gateway.workload, config);
    const policy = onlyThrough(gateway.workload);
    const at = (change: Partial<Workload>): Workload => ({ ...made.workload, ...change });
    const denied = { authorizationPolicies: [aPolicyKey(policy)] };
    await work({
      mesh,
      here,
      there,
      clientPod,
      serverPod,
      service,
      arrived,
      config,
      steps: {
        exempt: () => mesh.commit(policy),
        bind: () => mesh.commit({ ...service, waypoint: AUTOMATIC }, at({ waypoint: AUTOMATIC })),
        deny: () => mesh.commit(at({ waypoint: AUTOMATIC, ...denied })),
        lift: () => mesh.commit(at({ waypoint: AUTOMATIC })),
        unbind: () => mesh.commit(service, at({})),
      },
    });
    assert.deepEqual([...here.problems(), ...there.problems()], []);
  } finally {
    await waypoint?.close("test over");
    await mesh.close();
    app?.closeAllConnections();
    app?.close();
  }
}

/** Answers after a moment, so that requests are under way at any time. */
async function catalog(host: string, arrived: string[]): Promise<Server> {
  const server = createServer((incoming, answer) => {
    arrived.push(`${incoming.method ?? ""} ${incoming.url ?? ""}`);
    incoming.resume();
    setTimeout(() => answer.end("items"), 5);
  });
  await new Promise<void>((resolve) => server.listen(0, host, resolve));
  return server;
}

/** The waypoint itself, on the address of its workload; it knows what the destination's ztunnel knows. */
async function startWaypoint(
  node: TestNode,
  workload: Workload,
  config: WaypointDeps["config"],
): Promise<WaypointServer> {
  const { mesh } = node;
  const identity = workloadIdentity(workload);
  const [address] = workload.addresses;
  assert.ok(identity !== undefined && address !== undefined);
  const certificate = mesh.ca.issueNow(identity);
  const deps: WaypointDeps = {
    options: {
      namespace: "default",
      gateway: "ambit-waypoint",
      identity,
      network: "",
      clusterId: "Kubernetes",
      node: node.name,
      trustDomains: ["cluster.local"],
      port: 0,
      connectTimeoutMs: 1_000,
    },
    mesh: node.state,
    config,
    certificate: { current: () => certificate },
    backend: mesh.backend,
    metrics: new Registry(),
    clock: systemClock,
    log: createLog("waypoint", { level: "silent" }).root,
    random: Math.random,
  };
  const hbonePort = (at: string): number => mesh.ports.get(`${at}:${HBONE_PORT}`) ?? 1;
  const dialer = endpointDialer(deps, { tunnelTimeoutMs: 5_000, hbonePort });
  const server = await serveWaypoint(deps, { address, dialer });
  mesh.ports.set(`${address}:${HBONE_PORT}`, server.port);
  return server;
}

/** The frontend may only read items. */
function configOf(service: Service, workload: Workload, caller: string): WaypointConfig {
  const policy: RequestPolicy = {
    key: policyKey("default", "read-items"),
    action: "allow",
    dryRun: false,
    rules: [
      {
        from: [
          {
            principals: { any: [{ kind: "exact", value: caller.slice("spiffe://".length) }], none: [] },
            namespaces: ANY,
            serviceAccounts: ANY,
            sourceIps: ANY,
          },
        ],
        to: [
          {
            hosts: ANY,
            methods: { any: [{ kind: "exact", value: "GET" }], none: [] },
            paths: { any: [{ kind: "prefix", value: "/items" }], none: [] },
            ports: ANY,
          },
        ],
        when: [],
      },
    ],
  };
  return {
    name: "default/ambit-waypoint",
    automatic: true,
    pathNormalization: "base",
    clientCertField: false,
    services: [{ service: serviceKey(service.namespace, service.hostname), policies: [] }],
    workloads: [{ workload: workload.uid, policies: [policy.key] }],
    policies: [policy],
  };
}

function onlyThrough(waypoint: Workload): ReturnType<typeof anAuthorizationOf> {
  const value = (workloadIdentity(waypoint) ?? "").slice("spiffe://".length);
  return anAuthorizationOf(
    { principals: { any: [], none: [{ kind: "exact", value }] } },
    { name: ONLY_THROUGH_WAYPOINT, scope: "workload-selector", action: "deny" },
  );
}

interface Answer {
  readonly status: number;
  readonly body: string;
}

/** One request of the client's application, as captured. Rejects with the socket's error. */
function ask(world: World, method: string, path: string, agent?: Agent): Promise<Answer> {
  const { service, clientPod } = world;
  return new Promise((resolve, reject) => {
    const outgoing = request(
      {
        host: service.vips[0]?.ip ?? "",
        port: clientPod.sockets.outboundPort,
        localAddress: clientPod.address,
        method,
        path,
        agent: agent ?? new Agent({ keepAlive: false }),
      },
      (incoming) => {
        let body = "";
        incoming.setEncoding("utf8").on("data", (text: string) => (body += text));
        incoming.on("end", () => resolve({ status: incoming.statusCode ?? 0, body }));
        incoming.on("error", reject);
      },
    );
    outgoing.on("error", (error) => {
      Object.assign(error, { wasReused: outgoing.reusedSocket });
      reject(error);
    });
    outgoing.end();
  });
}

interface Tally {
  tried: number;
  /** On a kept connection that had just been ended: what every HTTP client repeats. */
  retried: number;
  readonly failed: string[];
}

/** Allowed requests without a pause, half of the workers on kept connections, until told to stop. */
function load(world: World, workers: number): { stop(): Promise<Tally> } {
  const tally: Tally = { tried: 0, retried: 0, failed: [] };
  let stopped = false;
  const once = async (agent: Agent | undefined, isRetry: boolean): Promise<void> => {
    try {
      const { status } = await ask(world, "GET", "/items", agent);
      if (status !== 200) tally.failed.push(`status ${status}`);
    } catch (error) {
      const { wasReused, message } = error as Error & { readonly wasReused: boolean };
      if (!wasReused || isRetry) tally.failed.push(message);
      else {
        tally.retried++;
        await once(undefined, true);
      }
    }
  };
  const run = async (index: number): Promise<void> => {
    const agent = index % 2 === 0 ? new Agent({ keepAlive: true, maxSockets: 1 }) : undefined;
    while (!stopped) {
      tally.tried++;
      await once(agent, false);
    }
    agent?.destroy();
  };
  const running = Array.from({ length: workers }, (_, index) => run(index));
  return {
    stop: async () => {
      stopped = true;
      await Promise.all(running);
      return tally;
    },
  };
}

test("bound: what the policy allows is answered, the rest is refused before it arrives", limits, () =>
  withWorld(async (world) => {
    world.steps.exempt();
    world.steps.bind();
    world.steps.deny();
    assert.deepEqual(await ask(world, "GET", "/items?page=2"), { status: 200, body: "items" });
    assert.deepEqual(await ask(world, "POST", "/items"), { status: 403, body: "RBAC: access denied" });
    assert.equal((await ask(world, "GET", "/admin")).status, 403);
    assert.equal((await ask(world, "GET", "/items/../admin")).status, 403);
    assert.deepEqual(world.arrived, ["GET /items?page=2"]);
    const inbound = world.there.access().filter((line) => line["direction"] === "inbound");
    assert.ok(inbound.every((line) => String(line["src.identity"]).endsWith("/sa/ambit-waypoint")));
  }),
);

test("bound: a source that has not heard of it is refused by the destination", limits, () =>
  withWorld(async (world) => {
    world.steps.exempt();
    world.steps.deny();
    const known = world.here.state.workloads.get(world.serverPod.workload.uid);
    assert.ok(known);
    world.here.state.commit({
      upserts: [{ kind: "workload", workload: { ...known, waypoint: undefined } }],
      removals: [],
    });
    await assert.rejects(ask(world, "GET", "/items"));
    assert.deepEqual(world.arrived, []);
  }),
);

test("binding and unbinding under load lose no request", limits, () =>
  withWorld(async (world) => {
    const { steps } = world;
    const running = load(world, 6);
    await pause(200);
    steps.exempt();
    steps.bind();
    await pause(5_500); // the drain and its margin
    steps.deny();
    await pause(200);
    steps.lift();
    steps.unbind();
    await pause(300);
    const { tried, retried, failed } = await running.stop();
    assert.deepEqual(failed, [], `of ${tried} tried, ${retried} repeated`);
    assert.ok(tried > 500, `${tried} tried`);
    const moved = world.here.access().filter((line) => line["reason"] === "moved-to-waypoint");
    assert.ok(moved.length >= 3, "the kept connections of before");
  }),
);
