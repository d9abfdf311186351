/** The setting of most tests: one pod with an HTTP application, one bound service in front of it. */
import assert from "node:assert/strict";
import type { RequestPolicy } from "#core/model/request-policy.ts";
import type { AppProtocol } from "#core/model/service.ts";
import type { ProxyLimits } from "../proxy-context.ts";
import { httpApp, type TestApp, tcpApp, type TcpApp } from "./apps.ts";
import { type BoundTestService, identity, TestWaypoint, type TestPod } from "./test-waypoint.ts";

export const FRONTEND = identity("frontend");
export const limits = { timeout: 10_000 };

export interface Catalog {
  readonly waypoint: TestWaypoint;
  readonly app: TestApp;
  readonly pod: TestPod;
  readonly catalog: BoundTestService;
}

export interface Given {
  readonly policies?: readonly RequestPolicy[];
  readonly protocol?: AppProtocol;
  readonly limits?: Partial<ProxyLimits>;
  readonly answer?: Parameters<typeof httpApp>[1];
}

export async function withCatalog(
  work: (setting: Catalog) => Promise<void>,
  given: Given = {},
): Promise<void> {
  const waypoint = await TestWaypoint.start(given.limits);
  const address = waypoint.freshIp();
  const app = await httpApp(address, given.answer);
  try {
    const pod = await waypoint.pod("catalog", app.port, { addresses: [address] });
    const { policies = [], protocol = "http11" } = given;
    const catalog = waypoint.bind({ name: "catalog", pods: [pod], policies, protocol });
    await work({ waypoint, app, pod, catalog });
    assert.deepEqual(waypoint.problems(), []);
  } finally {
    await waypoint.close();
    await app.close();
  }
}

export interface Plain {
  readonly waypoint: TestWaypoint;
  readonly app: TcpApp;
  readonly pod: TestPod;
  readonly service: BoundTestService;
}

/** The same with an application that the test plays byte by byte. */
export async function withPlain(
  onSocket: Parameters<typeof tcpApp>[1],
  work: (setting: Plain) => Promise<void>,
  given: Given = {},
): Promise<void> {
  const waypoint = await TestWaypoint.start(given.limits);
  const address = waypoint.freshIp();
  const app = await tcpApp(address, onSocket);
  try {
    const pod = await waypoint.pod("plain", app.port, { addresses: [address] });
    const { policies = [], protocol = "http11" } = given;
    const service = waypoint.bind({ name: "plain", pods: [pod], policies, protocol });
    await work({ waypoint, app, pod, service });
    assert.deepEqual(waypoint.problems(), []);
  } finally {
    await waypoint.close();
    await app.close();
  }
}
