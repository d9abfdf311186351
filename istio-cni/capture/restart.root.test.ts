import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import type { Attachment } from "./capture.ts";
import { ask, call, type CallResult, connect, startLoad } from "./testing/apps.ts";
import { useFixture } from "./testing/fixture.ts";
import type { Relay } from "./testing/relay.ts";
import { attachmentsUnderTest, skipWithoutRoot } from "./testing/topology.ts";

const skip = skipWithoutRoot();
const CALLS = 12;

for (const attachment of attachmentsUnderTest())
  describe(`restart and upgrade of ztunnel, ${attachment}`, { skip, concurrency: false }, () =>
    suite(attachment),
  );

function suite(attachment: Attachment): void {
  let relay: Relay;
  const f = useFixture(attachment, async (fixture) => {
    await fixture.startRelay([fixture.t.c]);
    relay = await fixture.startRelay([fixture.t.a]);
    await fixture.enrol(fixture.t.a, fixture.t.c);
  });

  /** Calls out of the pod and into it, both families, that begin now. */
  const callsEverywhere = (): Promise<readonly CallResult[]> => {
    const options = { timeoutMs: 10_000 };
    const all = Array.from({ length: CALLS / 4 }, () => [
      call(f.t.a.netns, f.t.c.ipv4, 8080, options),
      call(f.t.a.netns, f.t.c.ipv6, 8080, options),
      call(f.t.n2, f.t.a.ipv4, 8080, options),
      call(f.t.n2, f.t.a.ipv6, 8080, options),
    ]);
    return Promise.all(all.flat());
  };
  const failures = (results: readonly CallResult[]): readonly string[] =>
    results.flatMap((r) => (r.kind === "failed" ? r.code : []));

  test("upgrade: new connections go to the new ztunnel, old ones live on, none is lost", async (context) => {
    const long = await connect(f.t.a.netns, f.t.c.ipv4, 8080);
    assert.equal(await ask(long, "one"), "e:one");
    const load = startLoad(f.t.a.netns, f.t.c.ipv6, 8080, 2);
    const inbound = startLoad(f.t.n2, f.t.a.ipv4, 8080, 2);
    f.defer(() => Promise.all([load.stop(), inbound.stop()]).then(() => undefined));
    const old = relay;
    relay = await f.startRelay([f.t.a]);
    assert.deepEqual(f.capture.adoptListeners(f.t.a.target, "fresh"), { kind: "adopted" });
    await old.stopListening();
    const before = await relay.counts();
    await sleep(800);
    const results = await callsEverywhere();
    assert.deepEqual(failures(results), []);
    assert.ok((await relay.counts()).outbound >= before.outbound + CALLS / 2);
    assert.equal(await ask(long, "two"), "e:two");
    for (const running of [load, inbound]) {
      const report = await running.stop();
      assert.deepEqual(report.errors, []);
      context.diagnostic(`${report.newConnections} new connections, slowest ${report.slowestMs} ms`);
      assert.ok(report.newConnections >= 5, `only ${report.newConnections}`);
      assert.ok(report.longMessages >= 5, `only ${report.longMessages}`);
    }
    long.destroy();
    const again = f.capture.adoptListeners(f.t.a.target, "fresh");
    assert.ok(again.kind === "refused" && again.reason === "only-old-listeners");
    await old.kill();
  });

  test("holder: arriving connections wait for the next ztunnel, none is refused", async () => {
    const held = f.capture.holdListeners(f.t.a.target, relay.pid);
    assert.equal(held.count, 3);
    await relay.kill();
    assert.deepEqual(f.capture.podCaptureState(f.t.a.target)?.listeners, {
      inbound: true,
      outbound: true,
      hbone: true,
    });
    const calls = callsEverywhere();
    await sleep(300);
    relay = await f.startRelay([f.t.a]);
    assert.deepEqual(f.capture.adoptListeners(f.t.a.target, "fresh"), { kind: "adopted" });
    held.release();
    const results = await calls;
    assert.deepEqual(failures(results), []);
    assert.equal(results.length, CALLS);
  });

  test("red: without tcp_migrate_req the waiting connections are reset", async () => {
    f.t.sysctl("a", "ipv4/tcp_migrate_req", "0");
    const held = f.capture.holdListeners(f.t.a.target, relay.pid);
    await relay.kill();
    const calls = callsEverywhere();
    await sleep(200);
    relay = await f.startRelay([f.t.a]);
    f.capture.adoptListeners(f.t.a.target, "fresh");
    held.release();
    assert.ok(failures(await calls).includes("ECONNRESET"));
    const verified = f.capture.verifyAttachment(f.t.a.target);
    assert.ok(verified.kind === "repaired" && verified.problems[0]?.kind === "missing-sysctl");
  });

  test("the hold has a bound: then connections are refused", async () => {
    const held = f.capture.holdListeners(f.t.a.target, relay.pid);
    await relay.kill();
    held.releaseAfter(50);
    await sleep(300);
    assert.equal(held.count, 0);
    assert.deepEqual(new Set(failures(await callsEverywhere())), new Set(["ECONNREFUSED"]));
  });

  test("hold flag: a SYN without a listener waits for its retransmission", async () => {
    relay = await f.startRelay([f.t.a]);
    assert.equal(
      (await f.capture.enrolPod(f.t.a.target, { holdWithoutListener: true })).kind,
      "already-enrolled",
    );
    await relay.kill();
    const calls = Promise.all([f.t.c.ipv4, f.t.c.ipv6].map((host) => call(f.t.a.netns, host, 8080)));
    await sleep(200);
    relay = await f.startRelay([f.t.a]);
    assert.deepEqual(f.capture.adoptListeners(f.t.a.target, "any"), { kind: "adopted" });
    assert.deepEqual(failures(await calls), []);
  });
}
