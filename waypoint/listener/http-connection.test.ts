/** When a caller's connection is told to end, with a fake engine: each request's answer is the chance to say so. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { peerFacts } from "#core/authz/request/request-facts.ts";
import type {
  LocalAnswer,
  ServerConnectionEvents,
  ServerExchange,
  ServerExchangeEvents,
} from "#core/http/exchange.ts";
import { spiffeId } from "#core/model/spiffe-id.ts";
import { ip } from "#core/net/ip.ts";
import { silentLogger } from "#core/runtime/log.ts";
import { MeshState } from "#core/state/mesh-state.ts";
import { aService } from "#core/testing/builders.ts";
import { FakeHandle } from "#core/testing/fake-handle.ts";
import { createManualClock, type ManualClock } from "#core/testing/manual-clock.ts";
import type { HttpProtocol } from "../http/engines.ts";
import { OpenCalls } from "../http/open-calls.ts";
import { KeptShares } from "../kept-shares.ts";
import { DEFAULT_LIMITS, type ProxyContext } from "../proxy-context.ts";
import { AccessLog } from "../report/access-log.ts";
import { WaypointMetrics } from "../report/waypoint-metrics.ts";
import { Caller } from "./caller.ts";
import { HttpConnection } from "./http-connection.ts";

const IDENTITY = spiffeId({ trustDomain: "cluster.local", namespace: "shop", serviceAccount: "frontend" });
const ADDRESS = { ip: ip("10.96.0.1"), port: 80 };
const MINUTE = 60_000;

interface Scene {
  readonly connection: HttpConnection;
  readonly clock: ManualClock;
  /** What the engine was told, and what callers were. */
  readonly seen: string[];
  request(): void;
}

/** Without a configuration: whatever is handled is answered with 503. */
function scene(given: {
  readonly leftMs?: number;
  readonly protocol?: HttpProtocol;
  readonly isDraining?: boolean;
}): Scene {
  const { leftMs = 60 * MINUTE, protocol = "http1", isDraining = false } = given;
  const clock = createManualClock();
  const seen: string[] = [];
  let events: ServerConnectionEvents | undefined;
  const calls = new OpenCalls({ clock, maxCalls: 10, idleMs: 1_000 });
  const deps = { clock, mesh: new MeshState(), options: { network: "", identity: IDENTITY } };
  const context = {
    deps,
    limits: DEFAULT_LIMITS,
    engines: {
      serve: (_protocol: HttpProtocol, _handle: unknown, given: ServerConnectionEvents) => {
        events = given;
        return { drain: () => seen.push("drain"), destroy: (reason: string) => seen.push(reason) };
      },
    },
    snapshot: () => undefined,
    isDraining: () => isDraining,
    calls,
    connections: new Set(),
    kept: new KeptShares(1_000_000),
    metrics: new WaypointMetrics(() => 0),
    accessLog: new AccessLog(silentLogger),
  } as unknown as ProxyContext;
  const service = aService();
  const port = { servicePort: 80, targetPort: 8080, appProtocol: "http11" } as const;
  const caller = new Caller(
    context,
    {
      peerIdentity: IDENTITY,
      peerNotAfterMs: clock.nowMs() + leftMs,
      source: { ip: ip("10.0.0.1"), port: 1 },
      authority: { kind: "address", address: ADDRESS },
      baggage: undefined,
    } as never,
    { kind: "service", key: "a/b" as never, service, port, dialled: ADDRESS, protocol: "http" },
  );
  assert.deepEqual(caller.peer, peerFacts(IDENTITY, ip("10.0.0.1")));
  const connection = new HttpConnection(caller, new FakeHandle(), protocol);
  return { connection, clock, seen, request: () => events?.onRequest(exchange(seen)) };
}

function exchange(seen: string[]): ServerExchange {
  return {
    head: {
      version: "1.1",
      method: "GET",
      target: "/",
      authority: "a",
      scheme: "http",
      fields: [],
      body: { kind: "none" },
      upgrade: undefined,
      expectsContinue: false,
    },
    start: (_events: ServerExchangeEvents) => undefined,
    sendInterim: () => undefined,
    sendHead: () => undefined,
    reply: ({ status }: LocalAnswer) => void seen.push(String(status)),
    pause: () => undefined,
    resume: () => undefined,
    write: () => "closed",
    end: () => undefined,
    abort: () => undefined,
  };
}

for (const [name, given, expected] of [
  ["a certificate that is good for long", {}, ["503"]],
  [
    "one that ends in less than ten minutes: this answer is the last",
    { leftMs: 9 * MINUTE },
    ["drain", "503"],
  ],
  ["one that has ended: nothing is asked of anybody", { leftMs: 0 }, ["drain", "401"]],
  ["a waypoint about to end: this answer is the last", { isDraining: true }, ["drain", "503"]],
] as const) {
  test(`a request under ${name}`, () => {
    const { seen, request } = scene(given);
    request();
    assert.deepEqual(seen, [...expected]);
  });
}

test("told to go, an idle connection of HTTP/1 still gets its next request answered", async () => {
  const { connection, seen, request, clock } = scene({});
  connection.drain();
  await clock.advance(1_000);
  assert.deepEqual(seen, []);
  request();
  assert.deepEqual(seen, ["drain", "503"]);
});

test("told to go, it ends soon without a request; HTTP/2 says so at once", async () => {
  const idle = scene({});
  idle.connection.drain();
  await idle.clock.advance(1_999);
  assert.deepEqual(idle.seen, []);
  await idle.clock.advance(1);
  assert.deepEqual(idle.seen, ["drain"]);
  const http2 = scene({ protocol: "http2" });
  http2.connection.drain();
  assert.deepEqual(http2.seen, ["drain"]);
});
