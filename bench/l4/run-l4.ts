/** All peers, round after round, each round beginning with another peer. */
import { LoadClient } from "../load/load-client.ts";
import { LoadServer } from "../load/load-server.ts";
import { probeTls } from "../load/probe-tls.ts";
import {
  DIRECT_ECHO_PORT,
  DIRECT_SINK_PORT,
  ECHO_PORT,
  type Side,
  SINK_PORT,
} from "../network/bench-network.ts";
import type { PeerFacts, RunningPeer, UnstartedPeer } from "../peers/peer.ts";
import { describeError } from "#core/runtime/errors.ts";
import type { Measure } from "./measures.ts";
import { runMeasure } from "./run-measure.ts";
import type { Sample } from "./sample.ts";

export interface L4Plan {
  readonly peers: readonly UnstartedPeer[];
  /** Paths of the network namespaces of generator (a) and servers (b). */
  readonly path: Readonly<Record<Side, string>>;
  readonly measures: readonly Measure[];
  readonly rounds: number;
  readonly seconds: number;
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
  const netns = plan.path.b;
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
  readonly peer: UnstartedPeer;
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
  const { path, say } = plan;
  let running: RunningPeer | undefined;
  try {
    running = await peer.start();
    await probe(path.a, running);
    results.facts[peer.name] ??= { ...peer.facts, cipher: cipherOf(path.a, running) };
    for (const measure of plan.measures) {
      const settings = { netns: path.a, seconds: plan.seconds, peer: running };
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
async function probe(netns: string, { echo }: RunningPeer): Promise<void> {
  const client = new LoadClient(netns, { kind: "probe", ...echo });
  try {
    await client.started();
  } finally {
    await client.stop();
  }
}

function cipherOf(netns: string, { tls }: RunningPeer): string {
  return tls === undefined ? "-" : probeTls(netns, tls);
}
