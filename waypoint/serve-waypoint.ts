/** The proxy of a waypoint: everything long-lived in it is made here. Listens at once; what callers get follows the configuration in force. */
import { type Clock } from "#core/base/clock.ts";
import { openFileLimit } from "#core/runtime/open-file-limit.ts";
import type { HttpEngines } from "./http/engines.ts";
import { nativeEngines } from "./http/native-engines.ts";
import { OpenCalls } from "./http/open-calls.ts";
import { isBound } from "./listener/caller-connection.ts";
import { CallerConnections } from "./listener/caller-connections.ts";
import { HboneListener } from "./listener/hbone-listener.ts";
import { compileSnapshot, type WaypointSnapshot } from "./policy/snapshot.ts";
import { KeptShares } from "./kept-shares.ts";
import { DEFAULT_LIMITS, type ProxyContext, type ProxyLimits } from "./proxy-context.ts";
import { AccessLog } from "./report/access-log.ts";
import { WaypointMetrics } from "./report/waypoint-metrics.ts";
import { endpointDialer, type EndpointDialer } from "./upstream/dial-endpoint.ts";
import { UpstreamPool } from "./upstream/upstream-pool.ts";
import type { WaypointDeps, WaypointServer } from "./waypoint-deps.ts";

/** What tests replace. */
export interface ServeOptions {
  readonly limits?: Partial<ProxyLimits>;
  readonly engines?: HttpEngines;
  readonly dialer?: EndpointDialer;
  /** Where to listen; all addresses unless given. */
  readonly address?: string;
}

export async function serveWaypoint(deps: WaypointDeps, given: ServeOptions = {}): Promise<WaypointServer> {
  let isDraining = false;
  const context = makeContext(deps, given, () => isDraining);
  const listener = new HboneListener(context);
  let before = context.snapshot();
  const unfollow = deps.config.subscribe(() => {
    onSwitch(context, before);
    before = context.snapshot();
  });
  await listener.listen(given.address);
  return {
    port: listener.port,
    drain: async () => {
      isDraining = true;
      const tunnels = listener.drain();
      for (const connection of context.connections) connection.drain();
      await Promise.race([tunnels, goodbye(deps.clock)]);
      await context.calls.empty();
    },
    close: async (reason) => {
      unfollow();
      context.calls.endAll("draining");
      for (const connection of context.connections) connection.end("draining");
      await listener.close(reason);
      await context.upstreams.close();
    },
  };
}

/** Callers that have nothing under way are waited for no longer than this; those that have, until it ends. */
const GOODBYE_MS = 3_000;

function goodbye(clock: Clock): Promise<void> {
  return new Promise((resolve) => clock.after(GOODBYE_MS, resolve));
}

function makeContext(deps: WaypointDeps, given: ServeOptions, isDraining: () => boolean): ProxyContext {
  const { clock } = deps;
  // A tunnel takes a descriptor, and so does one to an endpoint; a tenth is kept for everything else.
  const maxTunnels = Math.min(DEFAULT_LIMITS.maxTunnels, Math.floor(openFileLimit() * 0.45));
  const limits: ProxyLimits = { ...DEFAULT_LIMITS, maxTunnels, ...given.limits };
  const engines = given.engines ?? nativeEngines(clock);
  const dialer = given.dialer ?? endpointDialer(deps, { tunnelTimeoutMs: limits.tunnelTimeoutMs });
  const calls = new OpenCalls({ clock, maxCalls: limits.maxCalls, idleMs: limits.idleMs });
  const metrics = new WaypointMetrics(() => calls.size);
  metrics.register(deps.metrics);
  const kept = new KeptShares(limits.maxKeptBytes);
  return {
    deps,
    limits,
    engines,
    snapshot: snapshots(deps),
    isDraining,
    calls,
    connections: new CallerConnections(limits.maxConnections),
    kept,
    upstreams: new UpstreamPool({ dialer, engines, kept, clock, dialTimeoutMs: limits.tunnelTimeoutMs }),
    metrics,
    accessLog: new AccessLog(deps.log.child("access")),
  };
}

/** Compiled when the configuration changes, not before and not per request. */
function snapshots({ config }: WaypointDeps): () => WaypointSnapshot | undefined {
  let compiled: WaypointSnapshot | undefined;
  return () => {
    const current = config.get();
    if (current === undefined) compiled = undefined;
    else if (compiled?.config !== current) compiled = compileSnapshot(current);
    return compiled;
  };
}

/** In force when this returns: what is under way is judged again; callers of what is no longer bound are told to go elsewhere. */
function onSwitch(
  { snapshot, calls, connections }: ProxyContext,
  before: WaypointSnapshot | undefined,
): void {
  const current = snapshot();
  if (current !== undefined) calls.judgeAgain(current);
  for (const connection of connections) if (!isBound(connection.route, current)) connection.drain(before);
}
