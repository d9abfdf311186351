import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { closeSync, existsSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, test } from "node:test";
import { createTcxLink, loadProgram } from "#core/linux/bpf.ts";
import { cgroup2PathOf, cgroup2Root } from "#core/linux/cgroup.ts";
import { NETLINK_ROUTE, withNetlink } from "#core/linux/netlink.ts";
import { check, libc } from "#core/linux/libc.ts";
import { inNetns, type Netns } from "#core/linux/netns.ts";
import { listLinks } from "#core/linux/rtnetlink.ts";
import { encodeSocketAddress } from "#core/linux/socket-encoding.ts";
import { setSocketOption } from "#core/linux/socket-options.ts";
import { addClsact, setBpfFilter } from "#core/linux/tc-netlink.ts";
import { tcpSocketFd } from "#core/linux/tcp-socket.ts";
import { ip } from "#core/net/ip.ts";
import type { Attachment, DeviceEvent } from "./capture.ts";
import { call, connect } from "./testing/apps.ts";
import { useFixture } from "./testing/fixture.ts";
import { PodPins } from "./pins.ts";
import { attachmentsUnderTest, skipWithoutRoot } from "./testing/topology.ts";

const skip = skipWithoutRoot();
const hasNft = existsSync("/usr/sbin/nft");

for (const attachment of attachmentsUnderTest())
  describe(`what others do to a pod captured by ${attachment}`, { skip, concurrency: false }, () =>
    suite(attachment),
  );

function suite(attachment: Attachment): void {
  const f = useFixture(attachment, async (fixture) => {
    await fixture.startRelay([fixture.t.a, fixture.t.c]);
    await fixture.enrol(fixture.t.a, fixture.t.c);
  });
  const isCaptured = async (): Promise<boolean> => {
    f.wire.clear();
    const result = await call(f.t.a.netns, f.t.c.ipv4, 8080, { text: "GUARD-CLEAR" });
    assert.equal(result.kind, "ok", JSON.stringify(result));
    await f.wire.settle();
    return f.wire.countText("GUARD-CLEAR") === 0;
  };
  const ifindex = (): number =>
    withNetlink(NETLINK_ROUTE, f.t.a.netns, listLinks).find((l) => l.name === "eth0")?.ifindex ?? 0;

  test("a clsact filter of someone else", async () => {
    const program = acceptEverything();
    withNetlink(NETLINK_ROUTE, f.t.a.netns, (socket) => {
      addClsact(socket, ifindex());
      const filter = { ifindex: ifindex(), direction: "egress", preference: 1, handle: 77 } as const;
      setBpfFilter(socket, filter, program, "someone_else");
    });
    closeSync(program);
    if (attachment === "tcx") {
      assert.equal(await isCaptured(), true, "tcx runs first");
      assert.deepEqual(f.capture.verifyAttachment(f.t.a.target), { kind: "intact" });
      return;
    }
    assert.equal(await isCaptured(), false, "red: the filter added last runs first and ends the chain");
    const found = f.capture.verifyAttachment(f.t.a.target);
    assert.ok(
      found.kind === "repaired" && found.problems[0]?.kind === "foreign-filter-before",
      JSON.stringify(found),
    );
    assert.deepEqual(f.capture.verifyAttachment(f.t.a.target), { kind: "intact" });
    assert.equal(await isCaptured(), true);
  });

  test("a tcx program of someone else in front", async () => {
    const program = acceptEverything();
    const link = inNetns(f.t.a.netns, () => createTcxLink(program, ifindex(), "egress"));
    assert.equal(await isCaptured(), false, "red: it ends the chain");
    const found = f.capture.verifyAttachment(f.t.a.target);
    assert.equal(found.kind, attachment === "tcx" ? "repaired" : "broken", JSON.stringify(found));
    assert.equal(await isCaptured(), attachment === "tcx");
    closeSync(link);
    closeSync(program);
    assert.equal(f.capture.verifyAttachment(f.t.a.target).kind, "intact");
    assert.equal(await isCaptured(), true);
  });

  test("rules and sysctls taken away are found and restored", async () => {
    f.t.ip("a", "rule del pref 80", "route flush table 100");
    f.t.sysctl("a", "ipv4/fwmark_reflect", "0");
    const found = f.capture.verifyAttachment(f.t.a.target);
    assert.ok(found.kind === "repaired", JSON.stringify(found));
    assert.deepEqual(found.problems.map((p) => p.kind).toSorted(), [
      "missing-rule",
      "missing-rule",
      "missing-sysctl",
    ]);
    assert.equal(await isCaptured(), true);
  });

  test("red: a device made anew is not captured; the detector repairs it", async () => {
    f.t.recreateDevice("a");
    assert.equal(await isCaptured(), false, "programs vanish with their device");
    const found = f.capture.verifyAttachment(f.t.a.target);
    assert.ok(found.kind === "repaired" && found.problems.some((p) => p.device === "eth0"));
    assert.equal(await isCaptured(), true);
  });

  test("the device watch attaches by itself and follows addresses", async () => {
    const events: DeviceEvent[] = [];
    const seen = (): readonly DeviceEvent[] => events;
    const attached = Promise.withResolvers<void>();
    const addressed = Promise.withResolvers<void>();
    const watch = f.capture.watchDevices(f.t.a.target, (event) => {
      events.push(event);
      if (event.kind === "attached") attached.resolve();
      if (event.kind === "address-added" && event.ip === "10.91.1.77") addressed.resolve();
    });
    assert.equal(seen().length, 0);
    f.t.recreateDevice("a");
    await bounded(attached.promise);
    assert.equal(await isCaptured(), true);
    f.t.ip("a", "addr add 10.91.1.77/24 dev eth0");
    await bounded(addressed.promise);
    assert.ok(f.capture.podCaptureState(f.t.a.target)?.podIps.some((ip) => ip === "10.91.1.77"));
    watch.close();
    assert.ok(
      events.every((e) => e.kind !== "failed"),
      JSON.stringify(events),
    );
    assert.deepEqual(f.capture.verifyAttachment(f.t.a.target), { kind: "intact" });
  });

  test("only the kubelet's own connections are probes", async (context) => {
    const cgroup = f.t.cgroup("kubelet");
    if (cgroup === undefined) return context.skip("SKIPPED: no cgroup v2 on this machine");
    f.t.capture(attachment, cgroup);
    for (const [host, node] of [[f.t.a.ipv4, "10.91.1.1"] as const, [f.t.a.ipv6, "fd91:1::1"] as const]) {
      const exempt = (): number => f.capture.podCaptureState(f.t.a.target)?.counters.probesExempted ?? -1;
      const before = exempt();
      assert.equal((await asKubelet(cgroup, () => call(f.t.n1, host, 8080))).kind, "ok");
      assert.equal(exempt(), before + 1, "the kubelet's probe");
      assert.equal(f.echoA.peers.at(-1), node);
      for (const other of [f.t.n1, f.t.n2, f.t.b.netns])
        assert.equal((await call(other, host, 8080)).kind, "ok");
      assert.equal(exempt(), before + 1, "another process of the node, another node, another pod");
      const open = await asKubelet(cgroup, () => connect(f.t.n1, host, 8080));
      assert.deepEqual(f.capture.listPreEnrolment(f.t.a.target), [], "a probe is no older connection");
      assert.equal(f.capture.destroyPreEnrolment(f.t.a.target), 0);
      open.destroy();
    }
  });

  test(
    "masqueraded traffic is captured; exempting the node's address would let it in",
    { skip: !hasNft },
    async () => {
      const nft = (...words: readonly string[]): void =>
        void execFileSync("ip", ["netns", "exec", f.t.netnsName("n1"), "nft", words.join(" ")]);
      nft("add table ip m");
      nft("add chain ip m p { type nat hook postrouting priority 100; }");
      nft(`add rule ip m p oifname br0 ip daddr ${f.t.a.ipv4} tcp dport 8080 masquerade`);
      const count = async (): Promise<{ readonly inbound: number; readonly exempt: number }> => {
        assert.equal((await call(f.t.n2, f.t.a.ipv4, 8080)).kind, "ok");
        assert.equal(f.echoA.peers.at(-1), "10.91.1.1", "the source is the node");
        const counters = f.capture.podCaptureState(f.t.a.target)?.counters;
        return { inbound: counters?.inbound ?? 0, exempt: counters?.probesExempted ?? 0 };
      };
      const first = await count();
      f.capture.setExemptSources(f.t.a.target, [ip("10.91.1.1")]);
      const bypassed = await count();
      assert.deepEqual(bypassed, { inbound: first.inbound, exempt: first.exempt + 1 }, "red");
      f.capture.setExemptSources(f.t.a.target, []);
      assert.deepEqual(await count(), { inbound: first.inbound + 1, exempt: first.exempt + 1 });
      nft("delete table ip m");
    },
  );

  test("an application can bind a port that captured connections use", async () => {
    const relay = await f.startRelay([f.t.b], { withoutReuseAddress: true });
    await f.enrol(f.t.b);
    const red = await connect(f.t.b.netns, f.t.c.ipv4, 8080);
    assert.throws(() => bindAsApplication(f.t.b.netns, 8080), { errnoName: "EADDRINUSE" });
    red.destroy();
    const held = f.capture.holdListeners(f.t.b.target, relay.pid);
    const green = await connect(f.t.b.netns, f.t.c.ipv4, 8080);
    closeSync(await retry(() => bindAsApplication(f.t.b.netns, 8080)));
    green.destroy();
    held.release();
    assert.equal((await f.capture.unEnrolPod(f.t.b.target, { drainMs: 3_000 })).kind, "removed");
  });

  test("a failed self-test takes everything back", async () => {
    f.t.ip("b", "rule add pref 70 fwmark 0x77 blackhole");
    const outcome = await f.capture.enrolPod(f.t.b.target);
    assert.ok(outcome.kind === "refused" && outcome.reason === "self-test-failed", JSON.stringify(outcome));
    assert.equal(
      f.capture.findEnrolled().some((pod) => pod.podUid === "uid-b"),
      false,
    );
    f.t.ip("b", "rule del pref 70");
    await f.enrol(f.t.b);
  });

  test("an interrupted enrolment shows and is taken up again; a dead pod is forgotten", async () => {
    new PodPins(f.t.bpffsDir, "uid-b").unmark("enrolled");
    const find = (): boolean | undefined =>
      f.capture.findEnrolled().find((pod) => pod.podUid === "uid-b")?.complete;
    assert.equal(find(), false);
    await f.enrol(f.t.b);
    assert.equal(find(), true);
    f.capture.forgetPod("uid-b");
    assert.equal(find(), undefined);
  });

  test("a device without an Ethernet header is refused", async (context) => {
    assert.equal((await f.capture.unEnrolPod(f.t.a.target, { drainMs: 3_000 })).kind, "removed");
    const kinds = [
      "tuntap add name odd0 mode tun",
      "link add odd0 type sit local 10.91.1.10",
      "link add odd0 type wireguard",
    ];
    if (!kinds.some((command) => succeeds(() => f.t.ip("a", command))))
      return context.skip("SKIPPED: this kernel has no device without an Ethernet header");
    f.t.ip("a", "link set odd0 up");
    const outcome = await f.capture.enrolPod(f.t.a.target);
    assert.ok(outcome.kind === "refused" && outcome.reason === "unsupported-device", JSON.stringify(outcome));
  });
}

/** A listener as applications make them: SO_REUSEADDR and nothing else. */
function bindAsApplication(netns: Netns, port: number): number {
  const fd = tcpSocketFd({ netns, family: 6 });
  try {
    setSocketOption(fd, "SO_REUSEADDR", 1);
    const any = encodeSocketAddress({ ip: ip("::"), port });
    check(libc().bind(fd, any, any.length), "bind");
    check(libc().listen(fd, 8), "listen");
    return fd;
  } catch (error) {
    closeSync(fd);
    throw error;
  }
}

function succeeds(work: () => void): boolean {
  try {
    work();
    return true;
  } catch {
    return false;
  }
}

/** A tc program that returns TC_ACT_OK, which ends the chain. */
function acceptEverything(): number {
  return loadProgram(
    "tc",
    "someone_else",
    Buffer.from([0xb7, 0, 0, 0, 0, 0, 0, 0, 0x95, 0, 0, 0, 0, 0, 0, 0]),
  );
}

/** Runs `work` with this process in the cgroup. */
async function asKubelet<T>(cgroup: string, work: () => Promise<T>): Promise<T> {
  const root = cgroup2Root() ?? "";
  const home = join(root, cgroup2PathOf("self") ?? "/");
  writeFileSync(join(cgroup, "cgroup.procs"), String(process.pid));
  try {
    return await work();
  } finally {
    writeFileSync(join(home, "cgroup.procs"), String(process.pid));
  }
}

async function bounded(promise: Promise<void>): Promise<void> {
  const timeout = new Promise<never>((_resolve, reject) => {
    setTimeout(() => reject(new Error("no event within 5 s")), 5_000).unref();
  });
  await Promise.race([promise, timeout]);
}

async function retry<T>(work: () => T): Promise<T> {
  for (let i = 0; ; i++) {
    try {
      return work();
    } catch (error) {
      if (i > 100) throw error;
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }
}
