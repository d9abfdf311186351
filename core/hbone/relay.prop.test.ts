import assert from "node:assert/strict";
import { it } from "node:test";
import fc from "fast-check";
import { headerField } from "../http2/hpack/header-field.ts";
import { ReceiveBudget } from "../http2/flow-control.ts";
import { Http2Session } from "../http2/session.ts";
import { FakeHandle } from "../testing/fake-handle.ts";
import { createManualClock, settle } from "../testing/manual-clock.ts";
import { pinnedRingCount } from "../handle/read-ring.ts";
import { ClientStream } from "./client-stream.ts";
import { readConnect } from "./connect-request.ts";
import { type Relay, relay } from "./relay.ts";
import { ServerStream } from "./server-stream.ts";
import { spiffeId } from "../model/spiffe-id.ts";
import { ip } from "../net/ip.ts";

type Side = "near" | "far";

/** An application's socket: what it sent, what it received, how it ended. */
interface App {
  readonly handle: FakeHandle;
  sent: number;
  received: number;
  finSent: boolean;
}

/** Two relays, two sessions, one connection between them, all in memory. */
function world(streamCount: number) {
  const clock = createManualClock();
  const budget = new ReceiveBudget();
  const left = new FakeHandle();
  const right = new FakeHandle();
  const apps: Record<Side, App[]> = { near: [], far: [] };
  const relays: Relay[] = [];
  const app = (side: Side): App => {
    const made = { handle: new FakeHandle(), sent: 0, received: 0, finSent: false };
    apps[side].push(made);
    return made;
  };
  const identity = spiffeId({ trustDomain: "td", namespace: "n", serviceAccount: "s" });
  const address = { ip: ip("127.0.0.1"), port: 80 };
  const server = new Http2Session(right, {
    role: "server",
    clock,
    budget,
    events: {
      onRequest: (stream, head, fields) => {
        const outcome = readConnect(head, fields);
        assert.equal(outcome.kind, "connect");
        if (outcome.kind !== "connect") return;
        const peer = { identity, serial: "1", notAfterMs: Infinity, source: address, local: address };
        relays.push(relay(app("far").handle, new ServerStream(stream, outcome.request, peer).accept()));
      },
      onClose: () => undefined,
    },
  });
  const client = new Http2Session(left, {
    role: "client",
    clock,
    budget,
    events: { onClose: () => undefined },
  });
  const pump = (): void => {
    for (let moved = true; moved;) {
      const toRight = left.take();
      const toLeft = right.take();
      right.feed(toRight);
      left.feed(toLeft);
      moved = toRight.length + toLeft.length > 0;
    }
  };
  pump();
  for (let i = 0; i < streamCount; i++) {
    const fields = [headerField(":method", "CONNECT"), headerField(":authority", "127.0.0.1:80")];
    const stream = new ClientStream({
      fields,
      clock,
      answerTimeoutMs: 10_000,
      reopen: () => Promise.reject(new Error("no")),
    });
    const opened = client.openStream(fields, stream);
    assert.ok(opened !== undefined);
    stream.openedOn({ stream: opened, session: client, peerIdentity: identity, peerCertificateSerial: "1" });
    relays.push(relay(app("near").handle, stream));
    pump();
  }
  return { clock, budget, left, right, apps, relays, server, client, pump };
}

const STREAMS = 3;
const step = fc.record({
  what: fc.oneof(
    { weight: 8, arbitrary: fc.constant("write" as const) },
    { weight: 2, arbitrary: fc.constantFrom("fin" as const, "stall" as const, "unstall" as const) },
    { weight: 1, arbitrary: fc.constantFrom("rst" as const, "drain" as const) },
  ),
  side: fc.constantFrom("near" as const, "far" as const),
  stream: fc.nat(STREAMS - 1),
  bytes: fc.oneof(fc.integer({ min: 1, max: 200 }), fc.integer({ min: 1, max: 400_000 })),
});
const schedule = fc.record({
  steps: fc.array(step, { maxLength: 40 }),
  ending: fc.constantFrom("finish" as const, "lose" as const, "destroy" as const),
});

it("ends every connection once under any schedule, and never shows a prefix as the whole", async () => {
  await fc.assert(
    fc.asyncProperty(schedule, async ({ steps, ending }) => {
      const w = world(STREAMS);
      for (const each of steps) {
        play(w, each);
        w.pump();
        observe(w);
      }
      if (ending === "lose") {
        w.left.drop();
        w.right.drop();
      } else if (ending === "destroy") {
        w.client.destroy(new Error("destroyed"));
        w.right.drop();
      }
      await settle();
      await finishApps(w);
      w.pump();
      observe(w);
      await settle();
      check(w);
      for (const end of await Promise.all(w.relays.map((each) => each.done))) assert.ok(end.end.length > 0);
      w.left.drop();
      w.right.drop();
      await settle();
      assert.equal(w.budget.usedBytes, 0, "receive budget");
      assert.equal(pinnedRingCount(), 0, "pinned rings");
    }),
    { numRuns: 300 },
  );
});

type World = ReturnType<typeof world>;

function play(
  { apps, server, client }: World,
  each: { readonly what: string; readonly side: Side; readonly stream: number; readonly bytes: number },
): void {
  const target = apps[each.side][each.stream];
  if (each.what === "drain") (each.side === "near" ? client : server).drain();
  if (target === undefined || target.handle.closed) return;
  const maySend = !target.finSent && !target.handle.isPaused;
  if (each.what === "rst") target.handle.drop();
  if (each.what === "stall") target.handle.stalled = true;
  if (each.what === "unstall") {
    target.handle.stalled = false;
    target.handle.drain();
  }
  if (maySend) send(target, each);
}

function send(target: App, each: { readonly what: string; readonly bytes: number }): void {
  if (each.what === "write") {
    target.handle.feed(pattern(target.sent, each.bytes), 8_192);
    target.sent += each.bytes;
  }
  if (each.what === "fin") {
    target.finSent = true;
    target.handle.end();
  }
}

/** Takes what the applications received and checks that it is what the other one sent. */
function observe({ apps }: World): void {
  for (const side of ["near", "far"] as const) {
    for (const target of apps[side]) {
      const bytes = target.handle.take();
      assert.ok(bytes.equals(pattern(target.received, bytes.length)), "bytes changed, lost or doubled");
      target.received += bytes.length;
    }
  }
}

/** Every application reads on and finishes. Streams that wait for the output get their turn meanwhile. */
async function finishApps(w: World): Promise<void> {
  for (let round = 0; round < 3; round++) {
    for (const side of ["near", "far"] as const) {
      for (const [stream] of apps(w, side).entries()) {
        play(w, { what: "unstall", side, stream, bytes: 0 });
        w.pump();
        await settle();
        play(w, { what: "fin", side, stream, bytes: 0 });
        w.pump();
        closeDone(apps(w, side)[stream]);
      }
    }
  }
}

function apps(w: World, side: Side): readonly App[] {
  return w.apps[side];
}

/** A real handle closes itself when both directions have ended. */
function closeDone(target: App | undefined): void {
  if (target === undefined || target.handle.closed) return;
  if (target.finSent && target.handle.isShutdown) target.handle.finish();
}

function check(w: World): void {
  for (const [index, near] of w.apps.near.entries()) {
    const far = w.apps.far[index];
    if (far === undefined) continue;
    for (const [from, to] of [
      [near, far],
      [far, near],
    ] as const) {
      const sawCleanEnd = to.handle.isShutdown;
      if (sawCleanEnd) assert.equal(to.received, from.sent, "a FIN after part of the data");
      if (sawCleanEnd) assert.equal(from.finSent, true, "a FIN that nobody sent");
      assert.ok(to.received <= from.sent);
    }
  }
}

function pattern(offset: number, length: number): Buffer {
  const bytes = Buffer.allocUnsafe(length);
  for (let i = 0; i < length; i++) bytes[i] = ((offset + i) * 31 + ((offset + i) >> 8)) & 0xff;
  return bytes;
}
