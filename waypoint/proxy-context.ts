/** What the parts of the proxy share (types and bounds). Made once in `serve-waypoint.ts`. */
import type { WaypointDeps } from "./waypoint-deps.ts";
import type { HandshakeLimits } from "#core/hbone/handshake-limiter.ts";
import type { HttpEngines } from "./http/engines.ts";
import type { OpenCalls } from "./http/open-calls.ts";
import type { CallerConnections } from "./listener/caller-connections.ts";
import type { KeptShares } from "./kept-shares.ts";
import type { WaypointSnapshot } from "./policy/snapshot.ts";
import type { AccessLog } from "./report/access-log.ts";
import type { WaypointMetrics } from "./report/waypoint-metrics.ts";
import type { UpstreamPool } from "./upstream/upstream-pool.ts";

export interface ProxyLimits {
  readonly handshakes: HandshakeLimits;
  /** Tunnels accepted at once; beyond it new ones are reset. */
  readonly maxTunnels: number;
  /** Connections of callers that are open at once, idle ones too; beyond it a CONNECT is refused with 503. */
  readonly maxConnections: number;
  /** Requests and plain connections under way at once; beyond it they are refused with 503. */
  readonly maxCalls: number;
  /** Bytes kept for readers that pause; beyond it whoever would need more is reset. */
  readonly maxKeptBytes: number;
  /** Milliseconds for the whole of W4: TCP, TLS, CONNECT and its answer. */
  readonly tunnelTimeoutMs: number;
  /** The whole of a request; 0: unbounded, as Istio has it. */
  readonly routeTimeoutMs: number;
  /** A request or plain connection on which nothing moves either way is ended. */
  readonly idleMs: number;
  /** How long a port without a declared protocol waits for the caller's first bytes before it counts as server-first. */
  readonly detectMs: number;
  /** How long a port that is declared HTTP waits for them, and any port for the rest of what has begun. */
  readonly firstBytesMs: number;
}

export const DEFAULT_LIMITS: ProxyLimits = {
  handshakes: { perPod: 512, perSource: 64 },
  maxTunnels: 10_000,
  maxConnections: 50_000,
  maxCalls: 10_000,
  maxKeptBytes: 256 * 1024 * 1024,
  tunnelTimeoutMs: 5_000,
  routeTimeoutMs: 0,
  idleMs: 3_600_000,
  detectMs: 1_000,
  firstBytesMs: 10_000,
};

export interface ProxyContext {
  readonly deps: WaypointDeps;
  readonly limits: ProxyLimits;
  readonly engines: HttpEngines;
  /** In force now. */
  readonly snapshot: () => WaypointSnapshot | undefined;
  /** The waypoint is about to end: every answer says so. */
  readonly isDraining: () => boolean;
  readonly calls: OpenCalls;
  /** Of callers; those that speak HTTP and those that do not. */
  readonly connections: CallerConnections;
  readonly kept: KeptShares;
  readonly upstreams: UpstreamPool;
  readonly metrics: WaypointMetrics;
  readonly accessLog: AccessLog;
}
