import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import type { Attachment, NodeCapture } from "./capture.ts";
import { call, type EchoServer, startEcho } from "./testing/apps.ts";
import {
  askUdp,
  looselyRouted,
  oddSockets,
  ping,
  sendFrames,
  sendRawTcp,
  sourceRouted,
  startUdpEcho,
  withoutOptionMemory,
} from "./testing/odd-sockets.ts";
import { type Relay, startRelay } from "./testing/relay.ts";
import { attachmentsUnderTest, createTopology, skipWithoutRoot, type Topology } from "./testing/topology.ts";
import { type Wire, watchWire } from "./testing/wire.ts";

const skip = skipWithoutRoot();

for (const attachment of attachmentsUnderTest())
  describe(`attempts to get past capture by ${attachment}`, { skip, concurrency: false }, () =>
    suite(attachment),
  );

function suite(attachment: Attachment): void {
  let t: Topology;
  let capture: NodeCapture;
  let relay: Relay;
  let wire: Wire;
  let echo: EchoServer;
  let udp: { close(): void }[];
  const undo: (() => void | Promise<void>)[] = [];

  before(async () => {
    t = createTopology();
    undo.push(() => t.close());
    for (const [ns, device] of [
      ["c", "eth0"],
      ["n2", "u0"],
      ["n2", "br0"],
      ["n1", "br0"],
    ] as const)
      for (const which of ["all", device]) t.sysctl(ns, `ipv6/conf/${which}/seg6_enabled`, "1");
    for (const ns of ["c", "n1", "n2"])
      for (const which of ["all", "default", ...(ns === "c" ? ["eth0"] : ["br0", "u0"])])
        t.sysctl(ns, `ipv4/conf/${which}/accept_source_route`, "1");
    t.sysctl("a", "ipv4/ping_group_range", "0 0");
    echo = startEcho(t.c.netns, 8080);
    udp = [startUdpEcho(t.c.netns, 9_999), startUdpEcho(t.c.netns, 53)];
    wire = watchWire(t.n1, "va"); // the other end of the pod's device: nothing filters before it
    undo.push(
      () => wire.close(),
      () => sleep(10),
      ...[echo, ...udp].map((server) => () => server.close()),
    );
    // Red first: without capture each of these reaches the server in clear.
    const before = [...oddSockets(t.a.netns, t.c.ipv4, t.c.ipv6), sourceRouted(t.a.netns, t.c.ipv6)];
    for (const { name, host, fd } of before)
      assert.equal((await call(t.a.netns, host, 8080, { fd, text: `ODD-CLEAR` })).kind, "ok", name);
    sendRawTcp(t.a.netns, t.c.ipv4);
    sendFrames(t.a.netns, t.a.ipv4, t.c.ipv4);
    const routed = looselyRouted(t.a.netns, t.c.ipv4);
    assert.equal(
      (await call(t.a.netns, routed.host, 8080, { fd: routed.fd, text: "ROUTED-CLEAR" })).kind,
      "ok",
    );
    await wire.settle();
    assert.ok(wire.countText("ROUTED-CLEAR") >= 2, "the source route works where it is accepted");
    assert.ok(wire.countText("ODD-CLEAR") >= 2 * before.length);
    assert.ok(wire.countText("RAW-CLEAR") >= 2);
    assert.ok(wire.countText("FRAME-CLEAR") >= 3);
    assert.ok(wire.countExtensionHeaders() > 0);
    relay = await startRelay(t, [t.a, t.c]);
    undo.push(() => relay.kill());
    capture = t.capture(attachment);
    for (const pod of [t.a, t.c]) assert.equal((await capture.enrolPod(pod.target)).kind, "enrolled");
  });
  after(async () => {
    for (const step of undo.toReversed()) await step();
  });

  test("options, extension headers, mapped addresses and device binding are captured and work", async () => {
    wire.clear();
    for (const { name, host, fd } of oddSockets(t.a.netns, t.c.ipv4, t.c.ipv6)) {
      const result = await call(t.a.netns, host, 8080, { fd, text: "ODD-CLEAR" });
      assert.deepEqual(result.kind, "ok", `${name}: ${JSON.stringify(result)}`);
    }
    await wire.settle();
    assert.equal(wire.countText("ODD-CLEAR"), 0);
    assert.equal(wire.countPort(8080), 0);
    assert.equal(wire.countExtensionHeaders(), 0);
  });

  test("an IPv6 routing header reaches nobody", async () => {
    wire.clear();
    const { host, fd } = sourceRouted(t.a.netns, t.c.ipv6);
    const result = await call(t.a.netns, host, 8080, { fd, text: "ODD-CLEAR", timeoutMs: 1_500 });
    assert.deepEqual(result, { kind: "failed", code: "ETIMEDOUT" });
    await wire.settle();
    assert.equal(wire.countText("ODD-CLEAR"), 0);
    assert.equal(wire.countExtensionHeaders(), 0);
  });

  test("an IPv4 source route reaches nobody", async () => {
    wire.clear();
    const { host, fd } = looselyRouted(t.a.netns, t.c.ipv4);
    const result = await call(t.a.netns, host, 8080, { fd, text: "ODD-CLEAR", timeoutMs: 1_500 });
    assert.equal(result.kind, "failed", JSON.stringify(result));
    await wire.settle();
    assert.equal(wire.countText("ODD-CLEAR"), 0);
    assert.equal(wire.countPort(8080), 0);
  });

  test("TCP from raw and packet sockets is dropped and counted", async () => {
    wire.clear();
    const before = capture.podCaptureState(t.a.target)?.counters.rawDropped ?? 0;
    sendRawTcp(t.a.netns, t.c.ipv4);
    sendFrames(t.a.netns, t.a.ipv4, t.c.ipv4);
    await wire.settle();
    assert.equal(wire.countText("CLEAR"), 0);
    assert.ok((capture.podCaptureState(t.a.target)?.counters.rawDropped ?? 0) >= before + 5);
  });

  test("a socket that cannot carry the flag cannot connect", async () => {
    wire.clear();
    for (const host of [t.c.ipv4, t.c.ipv6]) {
      const { fd } = withoutOptionMemory(t.a.netns, host);
      const result = await call(t.a.netns, host, 8080, { fd, timeoutMs: 800 });
      assert.deepEqual(result, { kind: "failed", code: "ETIMEDOUT" }, host);
    }
    await wire.settle();
    assert.equal(wire.countPort(8080), 0);
    assert.ok((capture.podCaptureState(t.a.target)?.counters.noMemory ?? 0) >= 2);
  });

  test("UDP and ICMP, small and fragmented, are untouched; DNS is not captured", async () => {
    for (const host of [t.c.ipv4, t.c.ipv6]) {
      for (const length of [10, 4_000]) {
        assert.equal(await askUdp(t.a.netns, host, 9_999, length), length, `udp ${host} ${length}`);
        assert.equal(await ping(t.a.netns, host, length), length + 8, `ping ${host} ${length}`);
      }
      const own = startUdpEcho(t.a.netns, 53);
      assert.equal(await askUdp(t.a.netns, host, 53, 33), 33, `dns ${host}`);
      own.close();
      await sleep(10);
    }
  });

  test("forwarded TCP passes only where it was allowed", async () => {
    const outcome = await capture.enrolPod(t.a.target, { allowForwarding: true });
    assert.equal(outcome.kind, "already-enrolled");
    wire.clear();
    sendFrames(t.a.netns, t.a.ipv4, t.c.ipv4);
    await wire.settle();
    assert.ok(wire.countText("FRAME-CLEAR") > 0);
    assert.equal((await capture.enrolPod(t.a.target)).kind, "already-enrolled");
    wire.clear();
    sendFrames(t.a.netns, t.a.ipv4, t.c.ipv4);
    await wire.settle();
    assert.equal(wire.countText("FRAME-CLEAR"), 0);
  });
}
