import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import type { Attachment, NodeCapture } from "./capture.ts";
import { querySkLookup, queryTcx } from "#core/linux/bpf.ts";
import { NETLINK_ROUTE, withNetlink } from "#core/linux/netlink.ts";
import { inNetns, type Netns } from "#core/linux/netns.ts";
import { listLinks } from "#core/linux/rtnetlink.ts";
import { PodPins } from "./pins.ts";
import { ask, call, connect, type EchoServer, type Load, startEcho, startLoad } from "./testing/apps.ts";
import { type Relay, startRelay } from "./testing/relay.ts";
import { attachmentsUnderTest, createTopology, skipWithoutRoot, type Topology } from "./testing/topology.ts";
import { type Wire, watchWire } from "./testing/wire.ts";

const skip = skipWithoutRoot();

for (const attachment of attachmentsUnderTest())
  describe(`capture by ${attachment}`, { skip, concurrency: false }, () => suite(attachment));

function suite(attachment: Attachment): void {
  let t: Topology;
  let capture: NodeCapture;
  let relay: Relay;
  let wire: Wire;
  let echoes: EchoServer[];
  const loads: Load[] = [];

  before(async () => {
    t = createTopology();
    capture = t.capture(attachment);
    wire = watchWire(t.n1, "u0");
    echoes = [startEcho(t.a.netns, 8080), startEcho(t.c.netns, 8080)];
    relay = await startRelay(t, [t.a, t.c]);
  });
  after(async () => {
    await Promise.all(loads.map((load) => load.stop()));
    await relay.kill();
    for (const echo of echoes) echo.close();
    wire.close();
    t.close();
  });

  test("before enrolment the wire shows clear text: the capture can see it", async () => {
    for (const host of [t.c.ipv4, t.c.ipv6]) assert.equal((await call(t.a.netns, host, 8080)).kind, "ok");
    await wire.settle();
    assert.ok(wire.countText("HELLO-CLEAR") >= 4);
    assert.ok(wire.countPort(8080) > 0);
  });

  test("enrolling and releasing under load loses nothing", async () => {
    assert.equal((await capture.enrolPod(t.c.target)).kind, "enrolled");
    loads.push(
      startLoad(t.a.netns, t.c.ipv4, 8080, 3),
      startLoad(t.a.netns, t.c.ipv6, 8080, 3),
      startLoad(t.n2, t.a.ipv4, 8080, 3),
      startLoad(t.n2, t.a.ipv6, 8080, 3),
    );
    await pause(400);
    const outcome = await capture.enrolPod(t.a.target);
    assert.equal(outcome.kind, "enrolled", JSON.stringify(outcome));
    await pause(400);
    const state = capture.podCaptureState(t.a.target);
    assert.ok((state?.counters.flagged ?? 0) > 0, "new connections are flagged");
    assert.ok((state?.counters.inbound ?? 0) > 0, "inbound is steered");
    const older = capture.listPreEnrolment(t.a.target).filter((c) => c.state === "ESTAB");
    assert.equal(older.filter((c) => c.direction === "outbound" && c.remote.port === 8080).length, 6);
    assert.equal(older.filter((c) => c.direction === "inbound" && c.local.port === 8080).length, 6);
    const longCaptured = [startLoad(t.a.netns, t.c.ipv4, 8080, 2), startLoad(t.n2, t.a.ipv6, 8080, 2)];
    await pause(300);
    const releasing = capture.unEnrolPod(t.a.target, { drainMs: 10_000 });
    await pause(400);
    assert.equal(capture.podCaptureState(t.a.target)?.draining, true, "waits for captured connections");
    const captured = await Promise.all(longCaptured.map((l) => l.stop()));
    assert.deepEqual(await releasing, { kind: "removed", destroyedConnections: 0 });
    await pause(200);
    const reports = [...captured, ...(await Promise.all(loads.map((l) => l.stop())))];
    assert.deepEqual(
      reports.flatMap((r) => r.errors),
      [],
    );
    for (const report of reports) {
      assert.ok(report.newConnections > 10, `only ${report.newConnections} new connections`);
      assert.ok(report.longMessages > 10, `only ${report.longMessages} messages`);
    }
    expectNothingLeft(t, "a");
  });

  test("captured: addresses are true at both ends and nothing is in clear", async () => {
    assert.equal((await capture.enrolPod(t.a.target)).kind, "enrolled");
    await wire.settle();
    wire.clear();
    const seen = echoes[1]?.peers ?? [];
    for (const [host, own] of [[t.c.ipv4, t.a.ipv4] as const, [t.c.ipv6, t.a.ipv6] as const]) {
      const before = seen.length;
      const result = await call(t.a.netns, host, 8080);
      assert.deepEqual(result, { kind: "ok", reply: "e:HELLO-CLEAR", local: own, remote: host });
      assert.deepEqual(seen.slice(before), [own]);
    }
    await wire.settle();
    assert.equal(wire.countText("HELLO-CLEAR"), 0);
    assert.equal(wire.countPort(8080), 0);
    assert.ok(wire.countPort(15_008) > 0);
  });

  test("a closed port is refused; self and loopback work", async () => {
    for (const host of [t.c.ipv4, t.c.ipv6]) {
      const result = await call(t.a.netns, host, 8081);
      assert.ok(result.kind === "failed" && ["ECONNRESET", "ECONNREFUSED"].includes(result.code));
    }
    for (const host of [t.a.ipv4, t.a.ipv6, "127.0.0.1", "::1"])
      assert.equal((await call(t.a.netns, host, 8080)).kind, "ok", host);
    for (const host of [t.a.ipv4, t.a.ipv6]) assert.equal((await call(t.n2, host, 8080)).kind, "ok", host);
  });

  test("enrolling again is harmless; the self-test and the detector agree", async () => {
    assert.deepEqual(await capture.enrolPod(t.a.target), { kind: "already-enrolled", attachment });
    assert.deepEqual(await capture.selfTest(t.a.target), { kind: "captured" });
    assert.equal(
      programsOf(t.a.netns).length,
      attachment === "tcx" ? 3 : 1,
      "the search finds what is there",
    );
    assert.deepEqual(capture.verifyAttachment(t.a.target), { kind: "intact" });
    const found = capture.findEnrolled().find((pod) => pod.podUid === t.a.target.podUid);
    const netnsInode = t.a.netns.inode & 0xffff_ffffn;
    assert.deepEqual(found, { podUid: "uid-a", attachment, netnsInode, complete: true });
    const anotherAgent = t.capture(attachment);
    assert.deepEqual(anotherAgent.findEnrolled(), capture.findEnrolled());
  });

  test("programs are replaced under a live captured connection", async () => {
    const socket = await connect(t.a.netns, t.c.ipv4, 8080);
    assert.equal(await ask(socket, "one"), "e:one");
    assert.equal(capture.hasOldPrograms(t.a.target), false);
    new PodPins(t.bpffsDir, t.a.target.podUid).setBuild("0123456789abcdef");
    assert.equal(capture.hasOldPrograms(t.a.target), true, "an agent with another object finds them");
    capture.upgradePrograms(t.a.target);
    assert.equal(capture.hasOldPrograms(t.a.target), false);
    assert.equal(await ask(socket, "two"), "e:two");
    assert.equal(capture.podCaptureState(t.a.target)?.capturedOutbound, 1);
    assert.deepEqual(capture.verifyAttachment(t.a.target), { kind: "intact" });
    assert.equal((await call(t.a.netns, t.c.ipv6, 8080)).kind, "ok");
    socket.destroy();
  });

  test("an interrupted release shows, and enrolling again takes it back under a live captured connection", async () => {
    const live = await connect(t.a.netns, t.c.ipv4, 8080);
    assert.equal(await ask(live, "one"), "e:one");
    const stop = new AbortController();
    const onDraining = (): Promise<void> => Promise.resolve(stop.abort());
    const outcome = await capture.unEnrolPod(t.a.target, { drainMs: 9_000, signal: stop.signal, onDraining });
    assert.equal(outcome.kind, "still-captured");
    const isWhole = (): boolean | undefined =>
      capture.findEnrolled().find((pod) => pod.podUid === t.a.target.podUid)?.complete;
    const crossesInClear = async (text: string): Promise<boolean> => {
      assert.equal((await call(t.a.netns, t.c.ipv6, 8080, { text })).kind, "ok");
      await wire.settle();
      return wire.countText(text) > 0;
    };
    assert.equal(isWhole(), false);
    assert.equal(await crossesInClear("WHILE-IT-DRAINS"), true, "red: new connections pass");
    assert.equal((await capture.enrolPod(t.a.target)).kind, "enrolled");
    assert.deepEqual([isWhole(), capture.podCaptureState(t.a.target)?.draining], [true, false]);
    assert.equal(await crossesInClear("TAKEN-BACK"), false);
    assert.equal(await ask(live, "two"), "e:two");
    live.destroy();
  });

  test("at the deadline captured connections are ended, never let out in clear", async () => {
    const out = await connect(t.a.netns, t.c.ipv4, 8080);
    const inbound = await connect(t.n2, t.a.ipv6, 8080);
    assert.equal(await ask(out, "one"), "e:one");
    assert.equal(await ask(inbound, "one"), "e:one");
    await wire.settle();
    wire.clear();
    const outcome = await capture.unEnrolPod(t.a.target, { drainMs: 200 });
    assert.equal(outcome.kind, "removed");
    assert.ok(outcome.kind === "removed" && outcome.destroyedConnections >= 2);
    await assert.rejects(ask(out, "SECRET-LATE"));
    await assert.rejects(ask(inbound, "two"));
    await wire.settle();
    assert.equal(wire.countText("SECRET-LATE"), 0);
    expectNothingLeft(t, "a");
    assert.deepEqual(await capture.unEnrolPod(t.a.target, { drainMs: 0 }), { kind: "not-enrolled" });
  });

  test("pre-enrolment connections are listed and destroyed on demand, and only they", async () => {
    const older = [await connect(t.a.netns, t.c.ipv4, 8080), await connect(t.n2, t.a.ipv6, 8080)];
    for (const socket of older) assert.equal(await ask(socket, "older"), "e:older");
    assert.equal((await capture.enrolPod(t.a.target)).kind, "enrolled");
    const captured = await connect(t.a.netns, t.c.ipv6, 8080);
    assert.equal(await ask(captured, "new"), "e:new");
    const listed = capture.listPreEnrolment(t.a.target).filter((c) => c.state === "ESTAB");
    assert.deepEqual(listed.map((c) => c.direction).toSorted(), ["inbound", "outbound"]);
    assert.equal(capture.destroyPreEnrolment(t.a.target), capture.listPreEnrolment(t.a.target).length + 2);
    for (const socket of older) await assert.rejects(ask(socket, "still there?"));
    assert.equal(await ask(captured, "still"), "e:still");
    captured.destroy();
    assert.equal((await capture.unEnrolPod(t.a.target, { drainMs: 2_000 })).kind, "removed");
  });

  test("without ztunnel's listeners enrolment is refused and leaves nothing", async () => {
    const outcome = await capture.enrolPod(t.b.target);
    assert.ok(outcome.kind === "refused" && outcome.reason === "no-listener", JSON.stringify(outcome));
    expectNothingLeft(t, "b");
  });

  test("an application's own listener on ztunnel's ports is refused", async () => {
    const impostors = [15_001, 15_006, 15_008].map((port) => startEcho(t.b.netns, port));
    const outcome = await capture.enrolPod(t.b.target);
    assert.ok(outcome.kind === "refused" && outcome.reason === "foreign-listener", JSON.stringify(outcome));
    assert.match(
      outcome.message,
      /port 15001 of the pod is taken by a program of the pod.*dataplane-mode=none/,
    );
    expectNothingLeft(t, "b");
    for (const impostor of impostors) impostor.close();
  });
}

function expectNothingLeft(t: Topology, name: "a" | "b" | "c"): void {
  const ns = t.netnsName(name);
  const show = (...args: readonly string[]): string =>
    execFileSync("ip", ["-n", ns, ...args], { encoding: "utf8" });
  for (const family of ["-4", "-6"]) {
    assert.doesNotMatch(show(family, "rule"), /fwmark/);
    assert.doesNotMatch(show(family, "route", "show", "table", "all"), /table 100/);
  }
  assert.deepEqual(
    readdirSync(join(t.bpffsDir, "ambit", "pods")).filter((n) => n === `uid-${name}`),
    [],
  );
  const filters = execFileSync("tc", ["-n", ns, "filter", "show", "dev", "eth0", "egress"], {
    encoding: "utf8",
  });
  assert.equal(filters.trim(), "");
  assert.deepEqual(programsOf(t[name].netns), []);
}

/** Programs that run for the namespace, pinned or not: a link lives on while any process holds it. */
function programsOf(netns: Netns): readonly number[] {
  const links = withNetlink(NETLINK_ROUTE, netns, listLinks);
  const tcx = attachmentsUnderTest().includes("tcx")
    ? inNetns(netns, () =>
        links.flatMap(({ ifindex }) => [...queryTcx(ifindex, "ingress"), ...queryTcx(ifindex, "egress")]),
      )
    : [];
  return [...tcx, ...querySkLookup(netns.fd)];
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
