/** BPF filters of the clsact qdisc (tc-bpf(8)) over netlink. */
import type { NetlinkSocket } from "./netlink.ts";
import {
  attributeOf,
  decodeAttributes,
  encodeAttribute,
  NLM_F,
  textOf,
  u32Of,
  uint32,
  zeroTerminated,
} from "./netlink-encoding.ts";
import { isErrno } from "./system-call-error.ts";

export type TcDirection = "ingress" | "egress";

export interface TcFilter {
  readonly preference: number;
  readonly handle: number;
  /** Kind of classifier: `bpf`, `flower`, ... */
  readonly kind: string;
  readonly name: string | undefined;
  readonly programId: number | undefined;
}

export interface TcBpfFilter {
  readonly ifindex: number;
  readonly direction: TcDirection;
  /** Lower runs first. */
  readonly preference: number;
  readonly handle: number;
}

const RTM_NEW_QDISC = 36;
const RTM_NEW_FILTER = 44;
const RTM_DEL_FILTER = 45;
const RTM_GET_FILTER = 46;
const TC_H_CLSACT = 0xffff_fff1;
const CLSACT_HANDLE = 0xffff_0000;
const PARENT = { ingress: 0xffff_fff2, egress: 0xffff_fff3 } as const;
const TCA_KIND = 1;
const TCA_OPTIONS = 2;
const TCA_BPF = { fd: 6, name: 7, flags: 8, id: 11 } as const;
const BPF_FLAG_ACT_DIRECT = 1;
/** ETH_P_ALL in network order. */
const ALL_PROTOCOLS = 0x0300;
const TCMSG_BYTES = 20;

/** Adds the clsact qdisc; fine when it is there. */
export function addClsact(socket: NetlinkSocket, ifindex: number): void {
  const body = Buffer.concat([
    tcMessage(ifindex, CLSACT_HANDLE, TC_H_CLSACT, 0),
    encodeAttribute(TCA_KIND, zeroTerminated("clsact")),
  ]);
  try {
    socket.request({ type: RTM_NEW_QDISC, flags: NLM_F.create | NLM_F.excl, body });
  } catch (error) {
    if (!isErrno(error, "EEXIST")) throw error;
  }
}

/** Adds the filter, or replaces the program of the one with this preference and handle, atomically. */
export function setBpfFilter(
  socket: NetlinkSocket,
  filter: TcBpfFilter,
  program: number,
  name: string,
): void {
  const options = encodeAttribute(TCA_OPTIONS, [
    encodeAttribute(TCA_BPF.fd, uint32(program)),
    encodeAttribute(TCA_BPF.name, zeroTerminated(name)),
    encodeAttribute(TCA_BPF.flags, uint32(BPF_FLAG_ACT_DIRECT)),
  ]);
  const body = Buffer.concat([
    filterMessage(filter),
    encodeAttribute(TCA_KIND, zeroTerminated("bpf")),
    options,
  ]);
  socket.request({ type: RTM_NEW_FILTER, flags: NLM_F.create | NLM_F.replace, body });
}

/** Removes the filter; fine when it, the qdisc or the device is gone. */
export function deleteBpfFilter(socket: NetlinkSocket, filter: TcBpfFilter): void {
  const body = Buffer.concat([filterMessage(filter), encodeAttribute(TCA_KIND, zeroTerminated("bpf"))]);
  try {
    socket.request({ type: RTM_DEL_FILTER, body });
  } catch (error) {
    if (!isErrno(error, "ENOENT", "EINVAL", "ENODEV")) throw error;
  }
}

/** Filters in the order they run. Empty without a clsact qdisc. */
export function listFilters(
  socket: NetlinkSocket,
  ifindex: number,
  direction: TcDirection,
): readonly TcFilter[] {
  const messages = socket.dump(RTM_GET_FILTER, tcMessage(ifindex, 0, PARENT[direction], 0));
  return messages
    .flatMap(({ body }) => {
      if (body.length < TCMSG_BYTES) return [];
      const attributes = decodeAttributes(body.subarray(TCMSG_BYTES));
      const options = decodeAttributes(attributeOf(attributes, TCA_OPTIONS) ?? Buffer.alloc(0));
      const handle = body.readUInt32LE(8);
      if (handle === 0) return []; // the chain's head, announced before its filters
      return {
        preference: body.readUInt32LE(16) >>> 16,
        handle,
        kind: textOf(attributes, TCA_KIND) ?? "",
        name: textOf(options, TCA_BPF.name),
        programId: u32Of(options, TCA_BPF.id),
      };
    })
    .toSorted((a, b) => a.preference - b.preference);
}

function filterMessage(filter: TcBpfFilter): Buffer {
  const info = ((filter.preference << 16) | ALL_PROTOCOLS) >>> 0;
  return tcMessage(filter.ifindex, filter.handle, PARENT[filter.direction], info);
}

function tcMessage(ifindex: number, handle: number, parent: number, info: number): Buffer {
  const body = Buffer.alloc(TCMSG_BYTES);
  body.writeInt32LE(ifindex, 4);
  body.writeUInt32LE(handle, 8);
  body.writeUInt32LE(parent, 12);
  body.writeUInt32LE(info, 16);
  return body;
}
