/**
 * One message over a unix socket with descriptors beside it (SCM_RIGHTS, unix(7), cmsg(3)).
 * The encoders are pure. Descriptors that arrive are close-on-exec; a truncated message closes what came with it.
 */
import { closeSync } from "node:fs";
import { addressOf, check, libc } from "./libc.ts";

export interface FdMessage {
  readonly bytes: Buffer;
  /** Owned by the receiver. */
  readonly fds: readonly number[];
}

export type ReceivedMessage =
  | { readonly kind: "message"; readonly message: FdMessage }
  | { readonly kind: "end" }
  /** Longer than the receiver allows, or more descriptors: dropped, its descriptors closed. */
  | { readonly kind: "oversize" };

const CMSG_HEADER_BYTES = 16;
const SOL_SOCKET = 1;
const SCM_RIGHTS = 1;
const SCM_PIDFD = 4;
const MSG_CTRUNC = 0x8;
const MSG_TRUNC = 0x20;
const MSG_NOSIGNAL = 0x4000;
const MSG_CMSG_CLOEXEC = 0x4000_0000;
/** SCM_MAX_FD of the kernel. */
const MAX_FDS = 253;

export interface ReceiveLimits {
  readonly maxBytes: number;
  readonly maxFds: number;
}

/** Control message that carries `fds`; empty for none. */
export function encodeRights(fds: readonly number[]): Buffer {
  if (fds.length === 0) return Buffer.alloc(0);
  if (fds.length > MAX_FDS) throw new RangeError(`at most ${MAX_FDS} descriptors per message`);
  const control = Buffer.alloc(CMSG_HEADER_BYTES + align8(4 * fds.length));
  control.writeBigUInt64LE(BigInt(CMSG_HEADER_BYTES + 4 * fds.length), 0);
  control.writeInt32LE(SOL_SOCKET, 8);
  control.writeInt32LE(SCM_RIGHTS, 12);
  fds.forEach((fd, i) => control.writeInt32LE(fd, CMSG_HEADER_BYTES + 4 * i));
  return control;
}

/** Every descriptor in the control messages, of whatever kind: all must be owned or closed. */
export function decodeRights(control: Buffer): readonly number[] {
  const fds: number[] = [];
  for (let at = 0; at + CMSG_HEADER_BYTES <= control.length;) {
    const length = Number(control.readBigUInt64LE(at));
    if (length < CMSG_HEADER_BYTES || at + length > control.length) break;
    const carriesFds =
      control.readInt32LE(at + 8) === SOL_SOCKET &&
      [SCM_RIGHTS, SCM_PIDFD].includes(control.readInt32LE(at + 12));
    for (let o = at + CMSG_HEADER_BYTES; carriesFds && o + 4 <= at + length; o += 4)
      fds.push(control.readInt32LE(o));
    at += align8(length);
  }
  return fds;
}

/** Sends one message; throws EAGAIN when the socket is full. The descriptors stay the caller's. */
export function sendMessage(fd: number, bytes: Uint8Array, fds: readonly number[] = []): void {
  const payload = Buffer.from(bytes);
  const control = encodeRights(fds);
  const header = messageHeader(payload, control);
  check(libc().sendmsg(fd, header, MSG_NOSIGNAL), "sendmsg");
}

/** Receives one message; throws EAGAIN when there is none. */
export function receiveMessage(fd: number, limits: ReceiveLimits): ReceivedMessage {
  const payload = Buffer.allocUnsafeSlow(limits.maxBytes);
  const control = Buffer.alloc(CMSG_HEADER_BYTES + align8(4 * limits.maxFds) + 32);
  const header = messageHeader(payload, control);
  const length = check(libc().recvmsg(fd, header, MSG_CMSG_CLOEXEC), "recvmsg");
  const fds = decodeRights(control.subarray(0, Number(header.readBigUInt64LE(40))));
  const flags = header.readInt32LE(48);
  if ((flags & (MSG_TRUNC | MSG_CTRUNC)) !== 0 || fds.length > limits.maxFds) {
    for (const received of fds) closeSync(received);
    return { kind: "oversize" };
  }
  if (length === 0 && fds.length === 0) return { kind: "end" };
  return { kind: "message", message: { bytes: payload.subarray(0, length), fds } };
}

/** struct msghdr: name, namelen, iov, iovlen, control, controllen, flags (56 bytes on 64-bit). */
function messageHeader(payload: Buffer, control: Buffer): Buffer {
  const vector = Buffer.alloc(16);
  if (payload.length > 0) vector.writeBigUInt64LE(addressOf(payload), 0);
  vector.writeBigUInt64LE(BigInt(payload.length), 8);
  const bytes = Buffer.alloc(56);
  bytes.writeBigUInt64LE(addressOf(vector), 16);
  bytes.writeBigUInt64LE(1n, 24);
  if (control.length > 0) {
    bytes.writeBigUInt64LE(addressOf(control), 32);
    bytes.writeBigUInt64LE(BigInt(control.length), 40);
  }
  return bytes;
}

function align8(length: number): number {
  return (length + 7) & ~7;
}
