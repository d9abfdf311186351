import assert from "node:assert/strict";
import { openSync } from "node:fs";
import { networkInterfaces } from "node:os";
import { createServer } from "node:net";
import { after, before, test } from "node:test";
import { createNamedNetns, deleteNamedNetns, inNetns, type Netns, netnsFromFd, openNetns } from "./netns.ts";
import { netnsCookie, socketMark, tcpListenerFd, tcpSocketFd } from "./tcp-socket.ts";

const root = process.getuid?.() === 0;
const skip = root || process.env["AMBIT_REQUIRE_ROOT"] === "1" ? false : "SKIPPED: needs root";
const name = `ambit-ns${process.pid}-a`;
let ns: Netns;

before(() => {
  if (skip !== false) return;
  createNamedNetns(name);
  ns = openNetns(`/run/netns/${name}`);
});
after(() => {
  if (skip !== false) return;
  ns.close();
  deleteNamedNetns(name);
});

test("work runs inside the namespace and the thread comes back, also after a throw", { skip }, () => {
  const home = Object.keys(networkInterfaces());
  assert.deepEqual(
    inNetns(ns, () => networkInterfaces()),
    {},
  );
  assert.throws(() => inNetns(ns, () => assert.fail("inside")), /inside/);
  assert.deepEqual(Object.keys(networkInterfaces()), home);
});

test("nested use returns to the outer namespace", { skip }, () => {
  inNetns(ns, () => {
    inNetns(ns, () => undefined);
    assert.deepEqual(networkInterfaces(), {});
  });
});

test("async work is refused", { skip }, () => {
  assert.throws(() => inNetns(ns, async () => Promise.resolve(1)), /synchronous/);
});

test("only network namespaces are accepted", { skip }, () => {
  assert.throws(() => openNetns("/proc/self/ns/uts"), { code: "NETNS_NOT_A_NAMESPACE" });
  assert.throws(() => openNetns("/dev/null"), { code: "NETNS_NOT_A_NAMESPACE" });
  assert.throws(() => netnsFromFd(openSync("/etc/hostname", "r")), { code: "NETNS_NOT_A_NAMESPACE" });
  assert.throws(() => openNetns("/run/netns/ambit-absent"), { code: "ENOENT" });
});

test("sockets are made in the namespace with their mark", { skip }, () => {
  const listener = tcpListenerFd({ netns: ns, port: 15_006, mark: 0x539, transparent: true, backlog: 8 });
  const beside = tcpListenerFd({ netns: ns, port: 15_006, mark: 0x539, transparent: true, backlog: 8 });
  const outside = tcpListenerFd({ port: 0, backlog: 8, bindIp: "127.0.0.1" });
  assert.equal(socketMark(listener), 0x539);
  assert.equal(netnsCookie(listener), netnsCookie(beside));
  assert.notEqual(netnsCookie(listener), netnsCookie(outside));
  const sources = (["192.0.2.7", "2001:db8::7"] as const).map((bindIp) =>
    tcpSocketFd({ netns: ns, family: bindIp.includes(":") ? 6 : 4, mark: 0x539, bindIp }),
  );
  for (const fd of [listener, beside, outside, ...sources]) createServer().listen({ fd }).close();
});
