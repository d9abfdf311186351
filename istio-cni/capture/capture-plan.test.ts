import assert from "node:assert/strict";
import { test } from "node:test";
import { ip } from "#core/net/ip.ts";
import type { TcpSocketEntry } from "#core/linux/sock-diag.ts";
import {
  drainVerdict,
  ENROL_ORDER,
  mayHaveCaptured,
  QUIET_MS,
  RELEASE_ORDER,
  undoAfter,
} from "./capture-plan.ts";
import { encodeIpKey } from "./pod-maps.ts";
import { PodPins } from "./pins.ts";
import { classify } from "./socket-census.ts";

test("the order of enrolment", () => {
  const at = (step: (typeof ENROL_ORDER)[number]): number => ENROL_ORDER.indexOf(step);
  assert.ok(at("adopt") < at("steer"), "a steered connection must find a listener");
  assert.ok(at("routing") < at("egress"), "a flagged segment must be delivered");
  assert.ok(at("loopback") < at("steer"), "ztunnel's dial must not be captured again");
  assert.ok(at("steer") < at("egress"), "a segment on lo must find ztunnel");
  assert.equal(ENROL_ORDER.at(-2), "self-test");
  assert.equal(ENROL_ORDER.at(-1), "mark-enrolled");
});

test("what a failure takes back is the reverse of what may exist", () => {
  assert.deepEqual(undoAfter("check-devices"), []);
  for (const step of ENROL_ORDER) {
    const undone = undoAfter(step);
    assert.deepEqual(undone, RELEASE_ORDER.slice(RELEASE_ORDER.length - undone.length), step);
  }
  assert.equal(mayHaveCaptured("loopback"), false);
  assert.equal(mayHaveCaptured("steer"), true);
  assert.deepEqual(undoAfter("self-test"), ["egress", "steer", "loopback", "routing", "pins"]);
});

test("release waits for captured sockets and a quiet moment, then destroys", () => {
  assert.equal(drainVerdict({ captured: 1, remainingMs: 1, quietMs: 0 }), "wait");
  assert.equal(drainVerdict({ captured: 1, remainingMs: 0, quietMs: 0 }), "destroy");
  assert.equal(drainVerdict({ captured: 0, remainingMs: 100, quietMs: QUIET_MS - 1 }), "wait");
  assert.equal(drainVerdict({ captured: 0, remainingMs: -5, quietMs: QUIET_MS - 1 }), "wait");
  assert.equal(drainVerdict({ captured: 0, remainingMs: -5, quietMs: QUIET_MS }), "removable");
});

test("which sockets bypass the mesh", () => {
  const entry = (changes: Partial<TcpSocketEntry>): TcpSocketEntry => ({
    local: { ip: ip("10.0.0.1"), port: 8080 },
    remote: { ip: ip("10.0.0.2"), port: 40_000 },
    state: "ESTAB",
    mark: 0,
    stored: false,
    inode: 1,
    family: 2,
    id: Buffer.alloc(48),
    ...changes,
  });
  assert.equal(classify(entry({})), "pre-enrolment");
  assert.equal(classify(entry({ mark: 0x1_0000 })), "pre-enrolment");
  assert.equal(classify(entry({ state: "SYN-SENT" })), "pre-enrolment");
  assert.equal(classify(entry({ stored: true })), "captured-outbound");
  assert.equal(
    classify(entry({ stored: true, mark: 0x539 })),
    "captured-outbound",
    "the flag wins over a mark",
  );
  assert.equal(classify(entry({ mark: 0x53a })), "captured-inbound");
  assert.equal(classify(entry({ mark: 0x539 })), "ztunnel");
  assert.equal(classify(entry({ state: "TIME-WAIT", stored: true })), "idle");
  assert.equal(classify(entry({ state: "CLOSED", remote: { ip: ip("0.0.0.0"), port: 0 } })), "idle");
  assert.equal(classify(entry({ remote: { ip: ip("127.0.0.1"), port: 1 } })), "local");
  assert.equal(classify(entry({ remote: { ip: ip("10.0.0.1"), port: 1 } })), "local");
});

test("keys of address maps are IPv6 in network order, IPv4 mapped", () => {
  assert.equal(encodeIpKey(ip("10.0.0.1")).toString("hex"), "00000000000000000000ffff0a000001");
  assert.equal(encodeIpKey(ip("fd00::1")).toString("hex"), "fd000000000000000000000000000001");
});

test("a pod uid that could leave its directory is refused", () => {
  for (const uid of ["", "..", "a/b", "a.b", "x".repeat(81), "a\0"])
    assert.throws(() => new PodPins("/run", uid), { code: "CAPTURE_BAD_POD_UID" }, uid);
});
