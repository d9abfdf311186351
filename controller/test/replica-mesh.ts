/** For tests of several replicas: two whole controllers over one API, each of which can be cut off from it, and clients that can be moved. */
import { createServer, connect, type Server, type Socket } from "node:net";
import type { AddressInfo } from "node:net";
import { type Clock, systemClock } from "#core/base/clock.ts";
import { kubeClientFor } from "#core/k8s/load-config.ts";
import { createLog } from "#core/runtime/log.ts";
import type { FakeRequest } from "#core/testing/fake-kube-api.ts";
import type { Stage } from "../waypoints/binding/binding.ts";
import { type Controller, startController } from "../app.ts";
import { eventually, type Harness, startHarness, testConfig } from "./harness.ts";

/** Leases last 15 s: here everything that goes by a controller's own clock is ten times as fast. */
const TIMES = 10;
export const quickClock: Clock = {
  nowMs: () => systemClock.nowMs(),
  monotonicMs: () => systemClock.monotonicMs() * TIMES,
  sleep: (ms, signal) => systemClock.sleep(ms / TIMES, signal),
  after: (ms, task) => systemClock.after(ms / TIMES, task),
};

export type ReplicaName = "a" | "b";

export interface ReplicaMesh {
  readonly h: Harness;
  readonly controllers: Readonly<Record<ReplicaName, Controller>>;
  /** From now on the API answers this replica nothing. */
  cutOff(name: ReplicaName): void;
  /** Cuts off whoever writes this stage next, right after the write. */
  cutOffAfter(stage: Stage): void;
  heal(name: ReplicaName): void;
  isCutOff(name: ReplicaName): boolean;
  /** Writes that were answered, by replica. */
  writes(name: ReplicaName): readonly FakeRequest[];
  /** A way to a replica that can be laid anew. */
  road(to: ReplicaName): Promise<Road>;
  stop(): Promise<void>;
}

export interface Road {
  readonly controller: Pick<Controller, "ports">;
  /** Breaks what is connected; what comes then goes there. */
  move(to: ReplicaName): void;
}

/** What the API does with replicas' requests. */
class Cuts {
  readonly answered: FakeRequest[] = [];
  readonly #cut = new Set<string>();
  #stage: Stage | undefined;
  #breakWatches: () => void = () => undefined;

  intercept(api: Harness["api"]): void {
    const before = api.intercept;
    this.#breakWatches = () => api.breakWatches();
    api.intercept = (request) => {
      if (this.#cut.has(request.authorization)) return { status: 503, body: { kind: "Status" } };
      if (request.method !== "GET") this.#write(request);
      return before(request);
    };
  }

  cut(authorization: string): void {
    this.#cut.add(authorization);
    this.#breakWatches();
  }

  heal(authorization: string): void {
    this.#cut.delete(authorization);
  }

  has(authorization: string): boolean {
    return this.#cut.has(authorization);
  }

  after(stage: Stage): void {
    this.#stage = stage;
  }

  #write(request: FakeRequest): void {
    this.answered.push(request);
    const { path, body, authorization } = request;
    const mark = `"stage\\":\\"${this.#stage ?? ""}\\"`;
    if (!path.includes("/gateways/") || !JSON.stringify(body ?? {}).includes(mark)) return;
    this.#stage = undefined;
    setImmediate(() => this.cut(authorization));
  }
}

const bearer = (name: ReplicaName): string => `Bearer ${name}`;

export async function startReplicas(env: Readonly<Record<string, string>>): Promise<ReplicaMesh> {
  const cuts = new Cuts();
  const h = await startHarness({
    env: { ...env, POD_NAME: "controller-a" },
    token: "a",
    clock: quickClock,
    seed: (api) => cuts.intercept(api),
  });
  const write = (line: string): unknown => (h.log as string[]).push(line);
  const { root: log } = createLog("controller", { level: "debug", write });
  const b = await startController(testConfig({ ...env, POD_NAME: "controller-b" }), {
    client: kubeClientFor({ server: h.api.url, token: "b" }),
    log,
    clock: quickClock,
  });
  await eventually("b is ready", () => b.readiness.isReady());
  const controllers = { a: h.controller, b };
  const roads: Server[] = [];
  return {
    h,
    controllers,
    cutOff: (name) => cuts.cut(bearer(name)),
    cutOffAfter: (stage) => cuts.after(stage),
    heal: (name) => cuts.heal(bearer(name)),
    isCutOff: (name) => cuts.has(bearer(name)),
    writes: (name) => cuts.answered.filter(({ authorization }) => authorization === bearer(name)),
    road: async (to) => {
      const road = await layRoad(controllers, to);
      roads.push(road.server);
      return road;
    },
    stop: async () => {
      cuts.heal(bearer("a"));
      cuts.heal(bearer("b"));
      await b.stop();
      await h.stop();
      for (const server of roads) server.close();
    },
  };
}

async function layRoad(
  controllers: ReplicaMesh["controllers"],
  first: ReplicaName,
): Promise<Road & { readonly server: Server }> {
  let to = first;
  const open = new Set<Socket>();
  const server = createServer((near) => {
    const far = connect(controllers[to].ports().grpc, "localhost");
    for (const [one, other] of [
      [near, far],
      [far, near],
    ] as const) {
      open.add(one);
      one.on("error", () => undefined);
      one.on("close", () => {
        open.delete(one);
        other.destroy();
      });
    }
    near.pipe(far).pipe(near);
  });
  await new Promise<void>((resolve) => server.listen(0, "localhost", resolve));
  const { port } = server.address() as AddressInfo;
  return {
    server,
    controller: { ports: () => ({ grpc: port, metrics: 0, debug: 0 }) },
    move: (name) => {
      to = name;
      for (const socket of open) socket.destroy();
    },
  };
}
