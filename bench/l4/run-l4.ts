/** All peers, round after round, each round beginning with another peer. */
import { LoadClient } from "../load/load-client.ts";
import { LoadServer } from "../load/load-server.ts";
import { probeTls } from "../load/probe-tls.ts";
import { DIRECT_ECHO_PORT, DIRECT_SINK_PORT, ECHO_PORT, SINK_PORT } from "../network/bench-network.ts";
import type { Peer, PeerContext, PeerFacts, RunningPeer } from "../peers/peer.ts";
import { describeError } from "#core/runtime/errors.ts";
import type { Measure } from "./measures.ts";
import { runMeasure } from "./run-measure.ts";
import type { Sample } from "./sample.ts";

export interface L4Plan {
  readonly peers: readonly Peer[];
  readonly measures: readonly Measure[];
  readonly rounds: number;
  readonly seconds: number;
  readonly context: PeerContext;
  /** Progress for a person who waits. */
  say(text: string): void;
}

export interface L4Results {
  readonly samples: readonly Sample[];
  readonly facts: Readonly<Record<string, PeerFacts>>;
  /** Peers that could not be run, and why. */
  readonly failed: readonly string[];
}

export async function runL4(plan: L4Plan): Promise<L4Results> {
  const netns = plan.context.network.name.b;
  const echo = new LoadServer(netns, "echo", [ECHO_PORT, DIRECT_ECHO_PORT]);
  const sink = new LoadServer(netns, "sink", [SINK_PORT, DIRECT_SINK_PORT]);
  const results = { samples: [] as Sample[], facts: {} as Record<string, PeerFacts>, failed: [] as string[] };
  try {
    await Promise.all([echo.started(), sink.started()]);
    for (let round = 1; round <= plan.rounds; round++) {
      for (const peer of rotated(plan.peers, round - 1)) {
        await measurePeer(plan, { peer, round, echo, sink }, results);
      }
    }
    return results;
  } finally {
    await Promise.all([echo.stop(), sink.stop()]);
  }
}

/** The same list, begun at `by`. */
export function rotated<T>(list: readonly T[], by: number): readonly T[] {
  const at = list.length === 0 ? 0 : by % list.length;
  return [...list.slice(at), ...list.slice(0, at)];
}

interface Turn {
  readonly peer: Peer;
  readonly round: number;
  readonly echo: LoadServer;
  readonly sink: LoadServer;
}

interface MutableResults {
  readonly samples: Sample[];
  readonly facts: Record<string, PeerFacts>;
  readonly failed: string[];
}

/** A peer that breaks down ends its own turn only. */
async function measurePeer(plan: L4Plan, turn: Turn, results: MutableResults): Promise<void> {
  const { peer, round } = turn;
  const { context, say } = plan;
  let running: RunningPeer | undefined;
  try {
    running = await peer.start(context);
    await probe(context, running);
    results.facts[peer.name] ??= { ...peer.facts, cipher: cipherOf(context, running) };
    for (const measure of plan.measures) {
      const settings = { netns: context.network.name.a, seconds: plan.seconds, peer: running };
      const measured = await runMeasure(measure, { ...settings, echo: turn.echo, sink: turn.sink });
      results.samples.push({ peer: peer.name, round, measure, ...measured });
      say(`round ${round}/${plan.rounds} ${peer.name} ${measure}: ${progress(measured)}`);
    }
  } catch (error) {
    const text = `${peer.name}, round ${round}: ${describeError(error)}`;
    results.failed.push(text);
    say(`FAILED ${text}`);
  } finally {
    await running?.stop();
  }
}

function progress({
  figures,
  problems,
  foreignShare,
}: Pick<Sample, "figures" | "problems" | "foreignShare">): string {
  const numbers = Object.entries(figures).map(([name, value]) => `${name} ${Number(value.toPrecision(3))}`);
  const foreign = `foreign CPU ${Math.round(foreignShare * 100)} %`;
  const invalid = problems.length === 0 ? [] : [`INVALID: ${problems.join("; ")}`];
  return [...numbers, foreign, ...invalid].join(", ");
}

/** Until a byte goes through and comes back. */
async function probe({ network }: PeerContext, { echo }: RunningPeer): Promise<void> {
  const client = new LoadClient(network.name.a, { kind: "probe", ...echo });
  try {
    await client.started();
  } finally {
    await client.stop();
  }
}

function cipherOf({ network }: PeerContext, { tls }: RunningPeer): string {
  return tls === undefined ? "-" : probeTls(network.name.a, tls);
}
