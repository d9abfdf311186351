/**
 * Plaintext that arrives at a captured pod (port 15006): steps I1, I5, I6, I7, I9, I10. It has no identity, so policy
 * judges it by address and port alone; a refusal sends not one byte.
 */
import type { Handle } from "#core/handle/handle.ts";
import { relayPlain } from "#core/hbone/relay.ts";
import type { ConnectionFacts } from "#core/model/connection.ts";
import { ZTUNNEL_OWN_PORTS } from "#core/model/well-known.ts";
import { ActiveConnection } from "./active-connection.ts";
import { awaitLocalWorkload } from "./local-workload.ts";
import type { PodContext } from "./proxy-deps.ts";
import { refusingHttp } from "./refusing-http.ts";
import { policyWatch, settleVerdict } from "./settle-verdict.ts";

/** Takes over an accepted, not started handle. Never rejects for reasons of the connection. */
export async function servePlaintext(context: PodContext, downstream: Handle): Promise<void> {
  const { deps, pod } = context;
  const active = new ActiveConnection(deps, pod.uid, {
    direction: "inbound",
    protocol: "tcp",
    source: downstream.remote,
    destination: downstream.local,
    sourceWorkload: deps.state.workloads.byAddress({
      network: deps.options.network,
      ip: downstream.remote.ip,
    }),
  });
  try {
    await steps(context, downstream, active);
  } catch (error) {
    active.failWith("connect-failed", error);
  } finally {
    if (!active.isRelaying) downstream.reset();
  }
}

async function steps(context: PodContext, downstream: Handle, active: ActiveConnection): Promise<void> {
  const { deps, pod, sockets } = context;
  const { local: destination, remote: source } = downstream;
  if (ZTUNNEL_OWN_PORTS.has(destination.port)) return active.fail("own-port", undefined, "I4");
  const { node, workloadWaitMs, connectTimeoutMs } = deps.options;
  const limits = { ms: workloadWaitMs, signal: context.signal };
  const found = await awaitLocalWorkload(deps.state, pod, node, limits);
  if (found.kind === "unknown") {
    return active.fail("destination-unknown", `no workload record for pod ${pod.namespace}/${pod.name}`);
  }
  active.record.destinationWorkload = found.workload;
  const facts: ConnectionFacts = { source, destination, sourceIdentity: undefined };
  const watch = policyWatch(context, found.workload, facts);
  active.track(watch); // I6
  const { signal } = active;
  const verdict = await settleVerdict(context, watch, signal); // I5
  active.record.trace = verdict.trace;
  if (verdict.kind === "deny") return active.fail(verdict.reason, verdict.trace.explanation);
  const upstream = await sockets.connect(
    { destination, sourceIp: source.ip, timeoutMs: connectTimeoutMs },
    signal,
  ); // I7
  const at = { workload: found.workload, port: destination.port };
  deps.metrics.outsiders.note(active.record);
  active.relay(relayPlain(downstream, refusingHttp(context, active, upstream, at))); // I9
}
