/**
 * Steps O2 to O11: a connection that a pod's application opened and the kernel handed to this pod's listener. Steps
 * only; where it goes is decided in `outbound-route.ts`. The application is reset whenever a step fails: it never sees
 * a clean end of something that did not work.
 */
import { unreachable } from "#core/base/invariant.ts";
import type { Handle } from "#core/handle/handle.ts";
import { type ConnectRequest, formatForwarded } from "#core/hbone/connect-request.ts";
import type { HboneClientStream } from "#core/hbone/hbone-pool.ts";
import { relay, relayPlain } from "#core/hbone/relay.ts";
import { newTraceparent } from "#core/hbone/trace-context.ts";
import type { WorkloadCertificate } from "#core/identity/certificate.ts";
import { isCaptureProbe } from "#core/model/capture-probe.ts";
import { ZTUNNEL_OWN_PORTS } from "#core/model/well-known.ts";
import { workloadIdentity } from "#core/model/workload.ts";
import { isLoopback } from "#core/net/ip.ts";
import { formatSocketAddress, type SocketAddress } from "#core/net/socket-address.ts";
import { ActiveConnection } from "./active-connection.ts";
import { workloadBaggage } from "./baggage-fields.ts";
import { DialWatch } from "./dial-watch.ts";
import { certificateFor, clientCredentials } from "./credentials.ts";
import { awaitLocalWorkload } from "./local-workload.ts";
import type { OutboundConnection } from "./outbound-connection.ts";
import {
  chooseOutboundRoute,
  type HboneRoute,
  isThroughWaypoint,
  type OutboundRoute,
  type PassthroughRoute,
  type WaitingRoute,
} from "./outbound-route.ts";
import type { PodContext } from "./proxy-deps.ts";
import { serveLocally } from "./short-circuit.ts";
import { tunnelReason } from "./tunnel-reason.ts";
import { serveThroughWaypoint } from "./waypoint-hop.ts";

/** Takes over an accepted, not started handle. Never rejects for reasons of the connection. */
export async function serveOutbound(context: PodContext, downstream: Handle): Promise<void> {
  if (isCaptureProbe(downstream.local)) return downstream.reset(); // the node agent's self-test: seen is all it wants
  const { deps, pod } = context;
  const active = new ActiveConnection(deps, pod.uid, {
    direction: "outbound",
    protocol: "tcp",
    source: downstream.remote,
    originalDestination: downstream.local,
    destination: downstream.local, // O3: the kernel keeps the original destination as the local address
  });
  try {
    await steps(context, downstream, active);
  } catch (error) {
    active.failWith("tunnel-failed", error);
  } finally {
    if (!active.isRelaying) downstream.reset();
  }
}

async function steps(context: PodContext, downstream: Handle, active: ActiveConnection): Promise<void> {
  const { deps, pod, signal } = context;
  if (isSelfCall(downstream.local)) return active.fail("self-call"); // O4
  const source = await awaitLocalWorkload(deps.state, pod, deps.options.node, {
    ms: deps.options.workloadWaitMs,
    signal,
  }); // O5
  if (source.kind === "unknown") {
    return active.fail(source.reason, `no workload record for pod ${pod.namespace}/${pod.name}`);
  }
  const connection = { context, downstream, active, source };
  await dispatch(connection, routeOf(connection));
}

/** O6. */
function routeOf({ context, downstream, source }: OutboundConnection): OutboundRoute {
  const { deps } = context;
  return chooseOutboundRoute(deps.state, {
    source: source.workload,
    destination: downstream.local,
    network: deps.options.network,
    isLocal: (workload) => deps.options.shortCircuit && deps.pods.byWorkload(workload) !== undefined,
    random: deps.random,
  });
}

/** One branch per kind of route. */
async function dispatch(connection: OutboundConnection, route: OutboundRoute): Promise<void> {
  const { active, source } = connection;
  active.record.sourceWorkload = source.workload;
  active.record.service = route.service;
  active.record.destinationWorkload = route.workload;
  active.record.throughWaypoint = isThroughWaypoint(route);
  switch (route.kind) {
    case "reject":
      return active.fail(route.reason);
    case "passthrough":
      return servePassthrough(connection, route);
    case "wait":
      return serveBound(connection, route);
    case "hbone":
      return route.waypoint ? serveBound(connection, route) : serveThroughTunnel(connection, route);
    case "local":
      return serveLocally(connection, route, serveThroughTunnel);
    default:
      return unreachable(route);
  }
}

function serveBound(connection: OutboundConnection, route: HboneRoute | WaitingRoute): Promise<void> {
  return serveThroughWaypoint(connection, route, {
    route: () => routeOf(connection),
    open: async (hop, signal) => {
      const certificate = await ownCertificate(connection); // O8
      return certificate === undefined ? undefined : connectTunnel(connection, hop, certificate, signal); // O9
    },
    serveWithout: dispatch,
  });
}

/** O7, O8, O9, O10: through a tunnel to the next hop. There is no other way when this one fails. */
async function serveThroughTunnel(connection: OutboundConnection, route: HboneRoute): Promise<void> {
  const { active, source } = connection;
  const { record } = active;
  record.protocol = "hbone";
  record.destination = route.hop;
  record.hboneAuthority = formatSocketAddress(route.authority);
  record.sourceIdentity = source.identity;
  record.destinationIdentity = workloadIdentity(route.workload);
  active.track(); // O7
  const certificate = await ownCertificate(connection); // O8
  if (certificate === undefined) return;
  const opened = await openTunnel(connection, route, certificate); // O9
  if (opened === undefined) return;
  const { app, stream } = opened;
  record.destinationIdentity = stream.peerIdentity;
  record.destinationSerial = stream.peerCertificateSerial;
  active.relay(relay(app, stream)); // O10
}

/** O8, bounded. */
async function ownCertificate(connection: OutboundConnection): Promise<WorkloadCertificate | undefined> {
  const { context, active, source } = connection;
  try {
    const certificate = await certificateFor(context.deps, source.identity, active.signal);
    active.record.sourceSerial = certificate.serial;
    return certificate;
  } catch (error) {
    active.failWith("no-certificate", error);
    return undefined;
  }
}

async function openTunnel(
  connection: OutboundConnection,
  route: HboneRoute,
  certificate: WorkloadCertificate,
): Promise<{ readonly app: Handle; readonly stream: HboneClientStream } | undefined> {
  const { context, downstream, active } = connection;
  const { clock, options } = context.deps;
  const { tunnelTimeoutMs } = options;
  const watch = new DialWatch(downstream, active, clock, {
    ms: tunnelTimeoutMs,
    onReached: () =>
      active.abort(
        "tunnel-failed",
        `no tunnel to ${formatSocketAddress(route.hop)} within ${tunnelTimeoutMs} ms`,
      ),
  });
  try {
    const stream = await connectTunnel(connection, route, certificate, active.signal);
    return { app: watch.end(), stream };
  } catch (error) {
    active.failWith(tunnelReason(error), error);
    return undefined;
  } finally {
    watch.end();
  }
}

/** A waypoint that does not answer is left soon: another one may. */
const WAYPOINT_CONNECT_MS = 2_000;

/** The CONNECT on a tunnel to the hop; throws what the pool throws. */
function connectTunnel(
  connection: OutboundConnection,
  route: HboneRoute,
  certificate: WorkloadCertificate,
  signal: AbortSignal,
): Promise<HboneClientStream> {
  const { context, downstream, source } = connection;
  const { deps, pool, sockets } = context;
  const { connectTimeoutMs } = deps.options;
  const timeoutMs = route.waypoint ? Math.min(connectTimeoutMs, WAYPOINT_CONNECT_MS) : connectTimeoutMs;
  const { expectedIdentities } = route;
  const key = {
    sourceIdentity: source.identity,
    sourceIp: downstream.remote.ip,
    expectedIdentities,
    destination: route.hop,
  };
  const dial = {
    connect: (destination: SocketAddress, whileWanted: AbortSignal) =>
      sockets.connect({ destination, timeoutMs }, whileWanted),
    credentials: () =>
      clientCredentials(deps.certificates.current(source.identity) ?? certificate, expectedIdentities),
  };
  return pool.connect(key, connectRequest(connection, route), dial, signal);
}

function connectRequest({ downstream, source }: OutboundConnection, route: HboneRoute): ConnectRequest {
  return {
    target: { kind: "address", address: route.authority },
    baggage: workloadBaggage(source.workload),
    forwarded: formatForwarded(downstream.remote, route.service?.hostname),
    traceparent: newTraceparent(),
  };
}

/** To something outside the mesh, or without a tunnel: plain TCP, as the application would have made it. */
async function servePassthrough(connection: OutboundConnection, route: PassthroughRoute): Promise<void> {
  const { context, downstream, active } = connection;
  const { clock, options } = context.deps;
  active.record.destination = route.destination;
  active.track();
  const watch = new DialWatch(downstream, active, clock);
  try {
    const upstream = await context.sockets.connect(
      { destination: route.destination, timeoutMs: options.connectTimeoutMs },
      active.signal,
    );
    active.relay(relayPlain(watch.end(), upstream));
  } catch (error) {
    active.failWith("connect-failed", error, "O9");
  } finally {
    watch.end();
  }
}

/** O4. A dial to one of our own ports on a local address would come back to us for ever. */
function isSelfCall(destination: SocketAddress): boolean {
  return isLoopback(destination.ip) && ZTUNNEL_OWN_PORTS.has(destination.port);
}
