/** A topology with echo servers in pods a and c, a capture of the link, and the removal of all that in any case. */
import { after, before } from "node:test";
import type { Attachment, NodeCapture } from "../capture.ts";
import { call, type EchoServer, startEcho } from "./apps.ts";
import { type Relay, startRelay } from "./relay.ts";
import type { RelayOptions } from "./relay-main.ts";
import { createTopology, type Pod, type Topology } from "./topology.ts";
import { type Wire, watchWire } from "./wire.ts";

export interface Fixture {
  t: Topology;
  capture: NodeCapture;
  wire: Wire;
  echoA: EchoServer;
  echoC: EchoServer;
  /** Runs at the end, last first. */
  defer(step: () => void | Promise<void>): void;
  startRelay(pods: readonly Pod[], options?: Omit<RelayOptions, "netnsNames">): Promise<Relay>;
  enrol(...pods: readonly Pod[]): Promise<void>;
}

/** Fills `fixture` before the tests of the suite and takes everything down after them. */
export function useFixture(attachment: Attachment, prepare: (fixture: Fixture) => Promise<void>): Fixture {
  const undo: (() => void | Promise<void>)[] = [];
  const fixture = {
    defer: (step: () => void | Promise<void>) => void undo.push(step),
    startRelay: async (pods: readonly Pod[], options?: Omit<RelayOptions, "netnsNames">) => {
      const relay = await startRelay(fixture.t, pods, options);
      undo.push(() => relay.kill());
      return relay;
    },
    enrol: async (...pods: readonly Pod[]) => {
      for (const { target } of pods) {
        const outcome = await fixture.capture.enrolPod(target);
        if (outcome.kind === "refused") throw new Error(`${outcome.reason}: ${outcome.message}`);
      }
    },
  } as unknown as Fixture;
  before(async () => {
    fixture.t = createTopology();
    undo.push(() => fixture.t.close());
    fixture.wire = watchWire(fixture.t.n1, "u0");
    undo.push(() => fixture.wire.close());
    fixture.echoA = startEcho(fixture.t.a.netns, 8080);
    undo.push(() => fixture.echoA.close());
    fixture.echoC = startEcho(fixture.t.c.netns, 8080);
    undo.push(() => fixture.echoC.close());
    fixture.capture = fixture.t.capture(attachment);
    // Neighbours are found now: the first IPv6 solicitation on a new link takes a second.
    const { a, c } = fixture.t;
    await Promise.all([a.ipv4, a.ipv6].map((host) => call(c.netns, host, 8080)));
    await prepare(fixture);
  });
  after(async () => {
    for (const step of undo.splice(0).toReversed()) await step();
  });
  return fixture;
}
