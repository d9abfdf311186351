import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import type { Attachment, NodeCapture } from "./capture.ts";
import { type App, startApp } from "./testing/app.ts";
import { call, type EchoServer, startEcho } from "./testing/apps.ts";
import { type Relay, startRelay } from "./testing/relay.ts";
import { attachmentsUnderTest, createTopology, skipWithoutRoot, type Topology } from "./testing/topology.ts";
import { type Wire, watchWire } from "./testing/wire.ts";

const skip = skipWithoutRoot();

for (const attachment of attachmentsUnderTest())
  describe(`captured for life, by ${attachment}`, { skip, concurrency: false }, () => suite(attachment));

function suite(attachment: Attachment): void {
  let t: Topology;
  let capture: NodeCapture;
  let wire: Wire;
  let echo: EchoServer;
  let relays: Relay[] = [];
  const apps: App[] = [];

  before(async () => {
    t = createTopology();
    t.sysctl("a", "ipv4/tcp_fin_timeout", "1");
    t.sysctl("a", "ipv4/tcp_fastopen", "5");
    wire = watchWire(t.n1, "u0");
    echo = startEcho(t.c.netns, 8080);
    await call(t.a.netns, t.c.ipv4, 8080);
    await wire.settle();
    assert.ok(wire.countText("HELLO-CLEAR") > 0 && wire.countPort(8080) > 0, "the capture sees clear text");
    relays = await Promise.all([startRelay(t, [t.a]), startRelay(t, [t.c])]);
    capture = t.capture(attachment);
    for (const pod of [t.a, t.c]) assert.equal((await capture.enrolPod(pod.target)).kind, "enrolled");
  });
  after(async () => {
    for (const child of [...relays, ...apps]) await child.kill();
    echo.close();
    wire.close();
    t.close();
  });

  test("sockets of every kind that outlive ztunnel send nothing to the wire", async () => {
    wire.clear();
    const app = await startApp(t, t.a, [t.c.ipv4, t.c.ipv6], 8080);
    apps.push(app);
    const unsupported = app.opened.filter((r) => r.result === "unsupported");
    assert.ok(
      unsupported.every((r) => r.kind === "mptcp"),
      JSON.stringify(unsupported),
    );
    const connected = app.opened.filter((r) => r.result === "ok");
    assert.equal(connected.length + unsupported.length, 16, JSON.stringify(app.opened));
    await relays[0]?.kill();
    await sleep(3_000); // beyond tcp_fin_timeout: the kernel has forgotten ztunnel's ends
    const written = await app.write();
    for (const { kind, host, result } of written)
      assert.ok(["ECONNRESET", "EPIPE", "ETIMEDOUT"].includes(result), `${kind} ${host}: ${result}`);
    await app.kill();
    await sleep(500);
    await wire.settle();
    assert.equal(wire.countText("CLEAR"), 0);
    assert.equal(wire.countPort(8080), 0);
  });

  test("without ztunnel a new connection is refused at once, in both directions", async () => {
    const state = capture.podCaptureState(t.a.target);
    assert.deepEqual(state?.listeners, { inbound: false, outbound: false, hbone: false });
    wire.clear();
    for (const host of [t.c.ipv4, t.c.ipv6])
      assert.deepEqual(await call(t.a.netns, host, 8080), { kind: "failed", code: "ECONNREFUSED" });
    for (const host of [t.a.ipv4, t.a.ipv6])
      assert.deepEqual(await call(t.n1, host, 8080), { kind: "failed", code: "ECONNREFUSED" });
    await wire.settle();
    assert.equal(wire.countPort(8080), 0);
    assert.equal(capture.adoptListeners(t.a.target, "any").kind, "refused");
  });

  test("the mesh works again when ztunnel is back and its listeners are adopted", async () => {
    relays.push(await startRelay(t, [t.a]));
    assert.deepEqual(capture.adoptListeners(t.a.target, "any"), { kind: "adopted" });
    wire.clear();
    for (const host of [t.c.ipv4, t.c.ipv6]) assert.equal((await call(t.a.netns, host, 8080)).kind, "ok");
    await wire.settle();
    assert.equal(wire.countText("CLEAR"), 0);
  });
}
