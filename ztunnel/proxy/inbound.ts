/**
 * Steps I1 to I10 of a connection that arrives in a tunnel at a pod's port 15008. Steps only: the destination is decided
 * in `inbound-route.ts`, the permission in `authorize.ts`. 200 is answered only when the application has been reached.
 */
import type { Handle } from "#core/handle/handle.ts";
import type { ConnectOptions } from "#core/handle/socket-factory.ts";
import { formatTarget } from "#core/hbone/connect-request.ts";
import {
  type HboneRequest,
  type HboneServerConnection,
  type PeerVerdict,
  serveHbone,
} from "#core/hbone/hbone-server.ts";
import { isBreach } from "#core/http2/http2-errors.ts";
import { relay } from "#core/hbone/relay.ts";
import type { WorkloadCertificate } from "#core/identity/certificate.ts";
import { serverContext } from "#core/identity/tls-options.ts";
import type { ConnectionFacts } from "#core/model/connection.ts";
import { type Workload, workloadIdentity } from "#core/model/workload.ts";
import { spawn } from "#core/runtime/spawn.ts";
import { ActiveConnection } from "./active-connection.ts";
import { workloadBaggage } from "./baggage-fields.ts";
import type { ConnectionRecord } from "./connection-log.ts";
import { certificateFor, verifyClient } from "./credentials.ts";
import { HandshakeLimiter } from "#core/hbone/handshake-limiter.ts";
import { chooseInboundRoute } from "./inbound-route.ts";
import { awaitLocalWorkload, findLocalWorkload } from "./local-workload.ts";
import type { PodContext } from "./proxy-deps.ts";
import { type Reason, reasonFacts, type Stage } from "./response-flag.ts";
import { refusingHttp } from "./refusing-http.ts";
import { policyWatch, settleVerdict } from "./settle-verdict.ts";
import { serviceOfRequest } from "./service-of-request.ts";

export class InboundProxy {
  readonly #context: PodContext;
  readonly #handshakes: HandshakeLimiter;
  readonly #connections = new Set<HboneServerConnection>();
  #draining = false;

  constructor(context: PodContext) {
    this.#context = context;
    this.#handshakes = new HandshakeLimiter(context.deps.options.handshakes);
  }

  /** I1, I2. Takes over an accepted, not started handle. */
  async serve(handle: Handle): Promise<void> {
    const leave = this.#handshakes.tryEnter(handle.remote.ip);
    if (leave === undefined) {
      this.#context.deps.metrics.handshakeRefused();
      handle.reset();
      return;
    }
    const { connectionLog } = this.#context.deps;
    connectionLog.tunnelOpened();
    try {
      await this.#serveTunnel(handle, leave);
    } finally {
      connectionLog.tunnelClosed();
      leave();
    }
  }

  /** Number of tunnels open now. */
  get size(): number {
    return this.#connections.size;
  }

  /** GOAWAY on every tunnel; streams may finish. Resolves when all are gone. */
  async drain(): Promise<void> {
    this.#draining = true;
    for (const connection of this.#connections) connection.drain();
    await Promise.all([...this.#connections].map((connection) => connection.done));
  }

  close(reason: string): void {
    for (const connection of this.#connections) connection.close(reason);
  }

  async #serveTunnel(handle: Handle, handshakeOver: () => void): Promise<void> {
    const { deps, signal } = this.#context;
    const certificate = await this.#ownCertificate(handle);
    if (certificate === undefined) return handle.reset();
    const refusal: { reason?: string } = {};
    const connection = serveHbone(handle, {
      backend: deps.backend,
      context: serverContext(certificate),
      notAfterMs: certificate.notAfterMs,
      clock: deps.clock,
      log: deps.log,
      verifyPeer: (peer) => {
        handshakeOver();
        const verdict: PeerVerdict = verifyClient(peer, deps.options.trustDomains);
        if (verdict.kind === "refused") refusal.reason = verdict.reason;
        return verdict;
      },
      onBadRequest: () => deps.metrics.tunnelViolation(),
      onConnect: (request) =>
        spawn(deps.log, "inbound-connect", () => serveConnect(this.#context, request, certificate)),
    });
    this.#connections.add(connection);
    const close = (): void => connection.close("pod removed");
    signal.addEventListener("abort", close, { once: true });
    if (signal.aborted) close();
    if (this.#draining) connection.drain();
    const error = await connection.done;
    signal.removeEventListener("abort", close);
    this.#connections.delete(connection);
    if (isBreach(error)) this.#reportViolation(handle, connection, error);
    // A tunnel that never came up carried no connection: this is its only trace.
    if (connection.peerIdentity === undefined) {
      deps.metrics.tunnelRefused();
      this.#logRefusal(
        handle,
        "identity-mismatch",
        refusal.reason ?? error?.message ?? "no TLS handshake",
        "I2",
      );
    }
  }

  #reportViolation(handle: Handle, { peerIdentity }: HboneServerConnection, error: Error): void {
    const { deps, pod } = this.#context;
    deps.metrics.tunnelViolation();
    deps.log.warn(
      {
        pod: `${pod.namespace}/${pod.name}`,
        peer: peerIdentity,
        source: handle.remote.ip,
        error: error.message,
      },
      "tunnel ended: its peer broke the protocol",
    );
  }

  /** I1: the pod's own certificate, bounded; without it nobody is let in. */
  async #ownCertificate(handle: Handle): Promise<WorkloadCertificate | undefined> {
    const { deps, pod, signal } = this.#context;
    const limits = { ms: deps.options.workloadWaitMs, signal };
    const local = await awaitLocalWorkload(deps.state, pod, deps.options.node, limits);
    if (local.kind === "unknown") {
      this.#logRefusal(
        handle,
        "destination-unknown",
        `no workload record for pod ${pod.namespace}/${pod.name}`,
        "I1",
      );
      return undefined;
    }
    try {
      return await certificateFor(deps, local.identity, signal);
    } catch (error) {
      new ActiveConnection(deps, pod.uid, this.#earlyRecord(handle)).failWith("no-certificate", error, "I1");
      return undefined;
    }
  }

  #logRefusal(handle: Handle, reason: Reason, error: string, stage: Stage): void {
    const { deps, pod } = this.#context;
    new ActiveConnection(deps, pod.uid, this.#earlyRecord(handle)).fail(reason, error, stage);
  }

  #earlyRecord(handle: Handle): ConnectionRecord {
    const { deps, pod } = this.#context;
    return {
      direction: "inbound",
      protocol: "hbone",
      source: handle.remote,
      destination: handle.local,
      destinationWorkload: findLocalWorkload(deps.state, pod, deps.options.node),
    };
  }
}

/** I3 to I10 of one CONNECT. */
async function serveConnect(
  context: PodContext,
  request: HboneRequest,
  certificate: WorkloadCertificate,
): Promise<void> {
  const { deps, pod } = context;
  const workload = findLocalWorkload(deps.state, pod, deps.options.node);
  const active = new ActiveConnection(deps, pod.uid, recordOf(context, request, workload, certificate));
  try {
    const reason = await connectSteps(context, request, active, workload);
    if (reason !== undefined && !request.signal.aborted) request.refuse(reasonFacts(reason).status);
  } catch (error) {
    active.failWith("connect-failed", error);
    if (!active.isRelaying && !request.signal.aborted) request.refuse(503);
  }
}

/** The reason for which the request is to be refused; undefined when it was accepted and has ended. */
async function connectSteps(
  context: PodContext,
  request: HboneRequest,
  active: ActiveConnection,
  workload: Workload | undefined,
): Promise<Reason | undefined> {
  const { deps } = context;
  if (deps.connectionLog.taken > deps.options.maxConnections) return refuse(active, "too-many-connections");
  if (workload === undefined) return refuse(active, "destination-unknown");
  const { network } = deps.options;
  const localIp = request.local.ip;
  const route = chooseInboundRoute(deps.state, { workload, localIp, target: request.authority, network }); // I4
  if (route.kind === "reject") return refuse(active, route.reason);
  const { source, peerIdentity } = request;
  active.record.application = route.destination;
  active.record.service = route.service ?? serviceOfRequest(deps.state, workload, request.forwarded);
  const facts: ConnectionFacts = { source, destination: route.destination, sourceIdentity: peerIdentity };
  const watch = policyWatch(context, workload, facts);
  active.track(watch); // I6, before the first check: a change during it is not missed
  const giveUp = (): void => active.abort("reset", "the client gave up before the application was reached");
  request.signal.addEventListener("abort", giveUp, { once: true });
  const verdict = await settleVerdict(context, watch, active.signal); // I5
  active.record.trace = verdict.trace;
  if (verdict.kind === "deny") return refuse(active, verdict.reason, verdict.trace.explanation);
  const timeoutMs = deps.options.connectTimeoutMs;
  const dial = { destination: route.destination, sourceIp: source.ip, timeoutMs };
  const upstream = await dialApplication(context, active, dial); // I7
  request.signal.removeEventListener("abort", giveUp);
  if (upstream === undefined) return active.abortReason ?? "connect-failed";
  if (request.signal.aborted) {
    upstream.reset();
    return refuse(active, "reset");
  }
  const { port } = route.destination;
  const stream = request.accept([["baggage", workloadBaggage(workload)]]); // I8
  active.relay(relay(refusingHttp(context, active, upstream, { workload, port }), stream), "server"); // I9
  return undefined;
}

function refuse(active: ActiveConnection, reason: Reason, error?: string): Reason {
  active.fail(reason, error);
  return reason;
}

/** I7: only ever the pod's own address, with the client's address as source. */
async function dialApplication(
  context: PodContext,
  active: ActiveConnection,
  dial: ConnectOptions,
): Promise<Handle | undefined> {
  try {
    return await context.sockets.connect(dial, active.signal);
  } catch (error) {
    active.failWith("connect-failed", error);
    return undefined;
  }
}

function recordOf(
  context: PodContext,
  request: HboneRequest,
  workload: Workload | undefined,
  certificate: WorkloadCertificate,
): ConnectionRecord {
  const { state, options } = context.deps;
  const source = state.workloads.byAddress({ network: options.network, ip: request.source.ip });
  // An address is a hint: its workload is named only when it agrees with the certificate.
  const isConfirmed = source !== undefined && workloadIdentity(source) === request.peerIdentity;
  return {
    direction: "inbound",
    protocol: "hbone",
    source: request.source,
    destination: request.local,
    sourceWorkload: isConfirmed ? source : undefined,
    sourceIdentity: request.peerIdentity,
    sourceSerial: request.peerCertificateSerial,
    hboneAuthority: formatTarget(request.authority),
    destinationWorkload: workload,
    destinationIdentity: certificate.identity,
    destinationSerial: certificate.serial,
  };
}
