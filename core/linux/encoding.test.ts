import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { ip, formatIp } from "../net/ip.ts";
import { parseCgroup2Path } from "./cgroup.ts";
import {
  decodeAttributes,
  decodeMessages,
  encodeAttribute,
  encodeMessage,
  NLMSG_DONE,
  u32Of,
  uint32,
} from "./netlink-encoding.ts";
import { decodeAddress, decodeLink, RTM } from "./rtnetlink.ts";
import {
  CONNECTED_STATES,
  decodeEntry,
  encodeDestroyRequest,
  encodeListRequest,
  LISTEN_STATES,
} from "./sock-diag.ts";
import { decodeSocketAddress, encodeSocketAddress, encodeUnixAddress } from "./socket-encoding.ts";
import { errnoName, isErrno, SystemCallError } from "./system-call-error.ts";

test("sockaddr: byte layout and round trip", () => {
  const v4 = encodeSocketAddress({ ip: ip("10.1.2.3"), port: 0x1234 });
  assert.equal(v4.toString("hex"), "020012340a0102030000000000000000");
  const v6 = encodeSocketAddress({ ip: ip("2001:db8::7"), port: 80 });
  assert.equal(v6.toString("hex"), "0a0000500000000020010db800000000000000000000000700000000");
  const mapped = encodeSocketAddress({ ip: ip("10.1.2.3"), port: 80 }, 6);
  assert.deepEqual(decodeSocketAddress(mapped), { ip: "10.1.2.3", port: 80 });
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 16, maxLength: 16 }), fc.nat(65_535), (bytes, port) => {
      const address = { ip: formatIp(bytes), port };
      assert.deepEqual(decodeSocketAddress(encodeSocketAddress(address)), address);
    }),
  );
  assert.equal(decodeSocketAddress(Buffer.alloc(2)), undefined);
  assert.equal(decodeSocketAddress(Buffer.alloc(28)), undefined);
});

test("sockaddr_un: zero-terminated, bounded", () => {
  assert.equal(encodeUnixAddress("/a").toString("hex"), "01002f6100");
  assert.throws(() => encodeUnixAddress(""), RangeError);
  assert.throws(() => encodeUnixAddress("x".repeat(108)), RangeError);
});

test("netlink messages and attributes: layout and round trip", () => {
  assert.equal(encodeAttribute(3, Buffer.from("ab\0")).toString("hex"), "0700030061620000");
  const body = Buffer.concat([
    encodeAttribute(1, uint32(7)),
    encodeAttribute(2, [encodeAttribute(9, uint32(8))]),
  ]);
  const [message] = decodeMessages(encodeMessage({ type: 20, flags: 0x301, body }, 5));
  assert.equal(message?.type, 20);
  assert.equal(message.flags, 0x301);
  const attributes = decodeAttributes(message.body);
  assert.equal(u32Of(attributes, 1), 7);
  assert.equal(u32Of(decodeAttributes(attributes[1]?.value ?? Buffer.alloc(0)), 9), 8);
});

test("netlink decoders take any bytes without throwing", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
      const buffer = Buffer.from(bytes);
      for (const message of decodeMessages(buffer)) {
        decodeAttributes(message.body);
        decodeLink(message);
        decodeAddress(message);
        decodeEntry({ ...message, type: 20 });
      }
      decodeAttributes(buffer);
    }),
  );
});

test("links and addresses", () => {
  const link = Buffer.alloc(16);
  link.writeUInt16LE(1, 2);
  link.writeInt32LE(5, 4);
  link.writeUInt32LE(1, 8);
  const body = Buffer.concat([link, encodeAttribute(3, Buffer.from("eth0\0"))]);
  const decoded = decodeLink({ type: RTM.newLink, flags: 0, body });
  assert.deepEqual(decoded, { ifindex: 5, name: "eth0", ethernet: true, loopback: false, up: true });
  const address = Buffer.concat([
    Buffer.from([2, 24, 0, 0, 5, 0, 0, 0]),
    encodeAttribute(2, Buffer.from([10, 0, 0, 9])),
  ]);
  assert.deepEqual(decodeAddress({ type: RTM.newAddress, flags: 0, body: address }), {
    ifindex: 5,
    ip: "10.0.0.9",
  });
});

test("sock_diag: request, entry with mark and storage, destroy by cookie", () => {
  const request = encodeListRequest(2, LISTEN_STATES, 9);
  assert.equal(request.length, 56 + 12);
  assert.equal(request.readUInt32LE(4), 1 << 10);
  assert.equal(request.subarray(56).toString("hex"), "0c0002800800010009000000");
  assert.equal(CONNECTED_STATES & LISTEN_STATES, 0);

  const head = Buffer.alloc(72);
  head.set([2, 1]);
  head.writeUInt16BE(8080, 4);
  head.writeUInt16BE(40_000, 6);
  head.set([10, 0, 0, 1], 8);
  head.set([10, 0, 0, 2], 24);
  head.writeUInt32LE(0xabcd, 44);
  head.writeUInt32LE(77, 68);
  const storage = encodeAttribute(20, [encodeAttribute(1, [encodeAttribute(1, uint32(1))])]);
  const plain = decodeEntry({
    type: 20,
    flags: 0,
    body: Buffer.concat([head, encodeAttribute(15, uint32(0x53a))]),
  });
  assert.equal(plain?.state, "ESTAB");
  assert.deepEqual(
    [plain.local, plain.remote],
    [
      { ip: "10.0.0.1", port: 8080 },
      { ip: "10.0.0.2", port: 40_000 },
    ],
  );
  assert.deepEqual([plain.mark, plain.stored, plain.inode], [0x53a, false, 77]);
  const flagged = decodeEntry({ type: 20, flags: 0, body: Buffer.concat([head, storage]) });
  assert.equal(flagged?.stored, true);
  const empty = decodeEntry({ type: 20, flags: 0, body: Buffer.concat([head, encodeAttribute(20, [])]) });
  assert.equal(empty?.stored, false);
  assert.equal(decodeEntry({ type: NLMSG_DONE, flags: 0, body: head }), undefined);
  assert.deepEqual(encodeDestroyRequest(flagged).subarray(8, 56), head.subarray(4, 52));
});

test("errno names", () => {
  assert.equal(errnoName(115), "EINPROGRESS");
  assert.equal(errnoName(11), "EAGAIN");
  assert.equal(errnoName(99_999), "errno 99999");
  const error = new SystemCallError("bind", 98, "port 80");
  assert.equal(error.message, "bind: EADDRINUSE (port 80)");
  assert.equal(isErrno(error, "EADDRINUSE"), true);
  assert.equal(isErrno(Object.assign(new Error("x"), { code: "ENOENT" }), "ENOENT"), true);
  assert.equal(isErrno("x", "ENOENT"), false);
});

test("cgroup v2 path of a process", () => {
  assert.equal(parseCgroup2Path("4:pids:/x\n0::/kubepods/pod1\n"), "/kubepods/pod1");
  assert.equal(parseCgroup2Path("0::/gone (deleted)\n"), "/gone");
  assert.equal(parseCgroup2Path("4:pids:/x\n"), undefined);
});
