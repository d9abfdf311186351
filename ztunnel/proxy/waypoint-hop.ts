/**
 * O6 to O10 of a connection that a waypoint is bound to: through the waypoint, after a bounded wait if need be, or nowhere. The
 * application is not read before the waypoint has said yes, so that whatever goes wrong until then can be tried again.
 */
import type { Handle } from "#core/handle/handle.ts";
import type { DeliveryResult, HboneStreamEvents, StreamLoss } from "#core/hbone/hbone-stream.ts";
import type { HboneClientStream } from "#core/hbone/hbone-pool.ts";
import { relay } from "#core/hbone/relay.ts";
import { lossEnding } from "#core/hbone/relay-result.ts";
import { workloadIdentity } from "#core/model/workload.ts";
import { formatSocketAddress } from "#core/net/socket-address.ts";
import { describeError } from "#core/runtime/errors.ts";
import { DialWatch } from "./dial-watch.ts";
import type { OutboundConnection } from "./outbound-connection.ts";
import {
  type HboneRoute,
  isThroughWaypoint,
  type OutboundRoute,
  type WaitingRoute,
} from "./outbound-route.ts";
import type { Reason } from "./response-flag.ts";
import { tunnelReason } from "./tunnel-reason.ts";
import { WaypointPatience } from "./waypoint-patience.ts";

export interface WaypointSteps {
  /** O6 again, with the state as it is now. */
  route(): OutboundRoute;
  /** O8 and O9 up to the CONNECT; throws what the pool throws. Undefined: it has failed for good and said so. */
  open(route: HboneRoute, signal: AbortSignal): Promise<HboneClientStream | undefined>;
  /** The waypoint is not bound any more. */
  serveWithout(connection: OutboundConnection, route: OutboundRoute): Promise<void>;
}

/** Why one try was in vain. */
interface Failure {
  readonly reason: Reason;
  readonly error: string;
  /** Nothing that time or another waypoint could change. */
  readonly final: boolean;
}

type Bound = HboneRoute | WaitingRoute;

/** Draws another waypoint than the one that just failed, if chance has one. */
const DRAWS = 4;

export async function serveThroughWaypoint(
  connection: OutboundConnection,
  first: Bound,
  steps: WaypointSteps,
): Promise<void> {
  const { context, downstream, active } = connection;
  const { deps, pod } = context;
  const { state, clock, waypointRoom: room, random, options } = deps;
  const patience = new WaypointPatience(
    { state, clock, room, random, waitMs: options.waypointWaitMs },
    pod.uid,
    [active.signal, context.signal],
  );
  const watch = new DialWatch(downstream, active, clock);
  try {
    const unbound = await tryUntilOpen({ connection, steps, patience, app: () => watch.end() }, first);
    if (unbound !== undefined) await steps.serveWithout({ ...connection, downstream: watch.end() }, unbound);
  } finally {
    watch.end();
    patience.end();
  }
}

interface Hop {
  readonly connection: OutboundConnection;
  readonly steps: WaypointSteps;
  readonly patience: WaypointPatience;
  /** The application's side, to be started. */
  readonly app: () => Handle;
}

/** A route that no waypoint is bound to any more; undefined when the connection has been served or refused. */
async function tryUntilOpen(hop: Hop, first: Bound): Promise<OutboundRoute | undefined> {
  const { connection, steps, patience } = hop;
  let route: OutboundRoute = first;
  let failure: Failure | undefined;
  while (isBound(route)) {
    failure = await outcomeOf(hop, route, failure);
    if (failure === undefined) return undefined;
    if (failure.final || !patience.enter()) return refuse(connection, patience, failure);
    await (route.kind === "wait" ? patience.change() : patience.pause());
    if (patience.signal.aborted) return refuse(connection, patience, failure);
    route = nextRoute(steps, route);
  }
  return route;
}

function isBound(route: OutboundRoute): route is Bound {
  return isThroughWaypoint(route);
}

/** Undefined: served, or refused for good. A try that the deadline cut short says less than the one before. */
async function outcomeOf(hop: Hop, route: Bound, before: Failure | undefined): Promise<Failure | undefined> {
  if (route.kind === "wait") return before ?? notReady(route);
  const failure = await tryOnce(hop, route);
  return failure !== undefined && hop.patience.isOver ? (before ?? failure) : failure;
}

function nextRoute(steps: WaypointSteps, failed: Bound): OutboundRoute {
  let route = steps.route();
  for (let draws = 1; draws < DRAWS && isSameHop(route, failed); draws++) route = steps.route();
  return route;
}

function isSameHop(route: OutboundRoute, failed: Bound): boolean {
  return route.kind === "hbone" && failed.kind === "hbone" && route.hop.ip === failed.hop.ip;
}

function notReady({ authority }: WaitingRoute): Failure {
  const error = `no waypoint that could take the connection to ${formatSocketAddress(authority)} is known`;
  return { reason: "waypoint-unresolvable", error, final: false };
}

function refuse(
  { active, context }: OutboundConnection,
  patience: WaypointPatience,
  failure: Failure,
): undefined {
  const { waypointWaitMs } = context.deps.options;
  if (failure.final) active.fail(failure.reason, failure.error);
  else if (patience.isOver)
    active.fail(failure.reason, `${failure.error} (waited ${waypointWaitMs} ms for a waypoint)`);
  else if (patience.signal.aborted)
    active.fail("draining", "the pod was removed while the connection waited for a waypoint");
  else active.fail(failure.reason, `${failure.error} (too many connections wait for a waypoint already)`);
}

/** O7, O8, O9; undefined: bytes flow, or it has failed for good and said so. */
async function tryOnce(hop: Hop, route: HboneRoute): Promise<Failure | undefined> {
  const { connection, steps, patience } = hop;
  const { active, source } = connection;
  const { record } = active;
  record.protocol = "hbone";
  record.destination = route.hop;
  record.hboneAuthority = formatSocketAddress(route.authority);
  record.sourceIdentity = source.identity;
  record.destinationWorkload = route.workload;
  record.destinationIdentity = workloadIdentity(route.workload);
  record.throughWaypoint = true;
  active.track(); // O7
  try {
    const stream = await steps.open(route, patience.signal);
    if (stream === undefined) return undefined;
    const loss = await opened(stream, patience.signal, () => {
      record.destinationIdentity = stream.peerIdentity;
      record.destinationSerial = stream.peerCertificateSerial;
      active.relay(relay(hop.app(), stream)); // O10
    });
    return loss === undefined ? undefined : failureOf(lossEnding(loss).error, isFinal(loss));
  } catch (error) {
    return failureOf(error, false);
  }
}

function failureOf(error: unknown, final: boolean): Failure {
  return { reason: tunnelReason(error), error: describeError(error), final };
}

/** A waypoint that does not know the address may only be behind; one that says no, or "not like this", means it. */
function isFinal(loss: StreamLoss): boolean {
  if (loss.kind === "closed-by-policy") return true;
  return loss.kind === "refused" && [400, 401, 403].includes(loss.status);
}

/** At the 200 `onOpen` takes the stream over, at once: what follows the 200 is for it. Resolves with a loss before that. */
function opened(
  stream: HboneClientStream,
  signal: AbortSignal,
  onOpen: () => void,
): Promise<StreamLoss | undefined> {
  return new Promise((resolve) => {
    const onAbort = (): void => {
      stream.reset();
      resolve({ kind: "tunnel-lost", error: new Error("the waypoint did not answer in time") });
    };
    const settle = (loss: StreamLoss | undefined): void => {
      signal.removeEventListener("abort", onAbort);
      if (loss === undefined) onOpen();
      resolve(loss);
    };
    signal.addEventListener("abort", onAbort, { once: true });
    if (stream.isOpen) settle(undefined);
    else if (signal.aborted) onAbort();
    else stream.start(new UntilOpen(settle));
  });
}

/** Before the 200 nothing but the answer or a loss can come. */
class UntilOpen implements HboneStreamEvents {
  readonly #settle: (loss: StreamLoss | undefined) => void;

  constructor(settle: (loss: StreamLoss | undefined) => void) {
    this.#settle = settle;
  }

  onTunnelOpen(): void {
    this.#settle(undefined);
  }

  onTunnelLoss(loss: StreamLoss): void {
    this.#settle(loss);
  }

  onTunnelData(): DeliveryResult {
    return "consumed";
  }

  onTunnelEnd(): void {
    this.onTunnelLoss({
      kind: "tunnel-lost",
      error: new Error("the waypoint ended the stream before its answer"),
    });
  }

  onTunnelWritable(): void {
    // Nothing has been written.
  }
}
