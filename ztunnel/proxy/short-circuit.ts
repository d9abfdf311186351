/**
 * Source and destination pod are on this node: the connection skips the tunnel, never the authorization. The destination
 * is the pod that the node agent announced under the very name of the workload record, and the address must be on one
 * of its devices now; a marked dial to an address that is not local would leave in clear with a forged source.
 */
import { relayPlain } from "#core/hbone/relay.ts";
import type { ConnectionFacts } from "#core/model/connection.ts";
import { ZTUNNEL_OWN_PORTS } from "#core/model/well-known.ts";
import { workloadIdentity } from "#core/model/workload.ts";
import type { PolicyWatch } from "./connection-registry.ts";
import { certificateFor } from "./credentials.ts";
import type { OutboundConnection } from "./outbound-connection.ts";
import type { HboneRoute, LocalRoute } from "./outbound-route.ts";
import type { PodContext } from "./proxy-deps.ts";
import { refusingHttp } from "./refusing-http.ts";
import { policyWatch, settleVerdict } from "./settle-verdict.ts";

/** `throughTunnel` serves the connection when the destination does not hold the address at this moment. */
export async function serveLocally(
  connection: OutboundConnection,
  route: LocalRoute,
  throughTunnel: (connection: OutboundConnection, route: HboneRoute) => Promise<void>,
): Promise<void> {
  const { context, downstream, source } = connection;
  const target = context.deps.pods.byWorkload(route.workload);
  const isHere = target?.sockets.hasAddress(route.destination.ip) === true;
  // Through a tunnel the destination sees an address of the source pod; here it must be one too.
  if (!isHere || !source.workload.addresses.includes(downstream.remote.ip)) {
    return throughTunnel(connection, route.tunnel);
  }
  await serveHere(connection, route, target);
}

async function serveHere(
  connection: OutboundConnection,
  route: LocalRoute,
  target: PodContext,
): Promise<void> {
  const { downstream, active, source } = connection;
  const { record } = active;
  record.protocol = "local";
  record.destination = route.destination;
  record.sourceIdentity = source.identity;
  record.destinationIdentity = workloadIdentity(route.workload);
  const facts: ConnectionFacts = {
    source: downstream.remote,
    destination: route.destination,
    sourceIdentity: source.identity,
  };
  const watch = policyWatch(target, route.workload, facts);
  active.track(watch); // O7 and I6, before the first check: a change during it is not missed
  if (ZTUNNEL_OWN_PORTS.has(route.destination.port)) return active.fail("own-port");
  // The connection is listed under the source pod; the end of the destination pod must end it as well.
  const onRemoved = (): void => active.abort("draining", "destination pod removed");
  target.signal.addEventListener("abort", onRemoved, { once: true });
  try {
    await dialHere(connection, route, target, watch);
  } catch (error) {
    active.failWith("connect-failed", error);
  } finally {
    target.signal.removeEventListener("abort", onRemoved);
  }
}

async function dialHere(
  connection: OutboundConnection,
  route: LocalRoute,
  target: PodContext,
  watch: PolicyWatch,
): Promise<void> {
  const { context, downstream, active, source } = connection;
  const { deps } = context;
  try {
    // O8: an identity that the CA does not (any longer) grant is not spoken for, with or without TLS.
    const certificate = await certificateFor(deps, source.identity, active.signal);
    active.record.sourceSerial = certificate.serial;
  } catch (error) {
    return active.failWith("no-certificate", error);
  }
  const verdict = await settleVerdict(target, watch, active.signal); // I5
  active.record.trace = verdict.trace;
  if (verdict.kind === "deny") return active.fail(verdict.reason, verdict.trace.explanation);
  const { destination } = route;
  const timeoutMs = deps.options.connectTimeoutMs;
  const sourceIp = downstream.remote.ip;
  const upstream = await target.sockets.connect({ destination, sourceIp, timeoutMs }, active.signal); // I7
  const at = { workload: route.workload, port: destination.port };
  const pair = relayPlain(downstream, refusingHttp(target, active, upstream, at));
  active.relay(pair); // O10
  await pair.done;
}
