/**
 * clsact (Linux before 6.6): a direct-action filter with preference 1. Within one preference the filter added last
 * runs first, and a filter of any program in front of ours may end the chain: `inspect` finds that.
 * Ours is recognised by its name, for a replaced program has another id.
 */
import { queryTcx } from "#core/linux/bpf.ts";
import { NETLINK_ROUTE, type NetlinkSocket, withNetlink } from "#core/linux/netlink.ts";
import { inNetns } from "#core/linux/netns.ts";
import {
  addClsact,
  deleteBpfFilter,
  listFilters,
  setBpfFilter,
  type TcFilter,
} from "#core/linux/tc-netlink.ts";
import { isErrno } from "#core/linux/system-call-error.ts";
import type { Attacher, Hook, HookState, PodContext } from "./attachment.ts";

const PREFERENCE = 1;

export const clsactAttacher: Attacher = {
  kind: "clsact",
  inspect: (pod, hook) => {
    const tcx = foreignTcx(pod, hook);
    if (tcx !== undefined) return { kind: "behind", foreign: tcx };
    return withNetlink(NETLINK_ROUTE, pod.netns, (socket) => inspect(socket, hook));
  },
  attach: (pod, hook) =>
    withNetlink(NETLINK_ROUTE, pod.netns, (socket) => {
      if (ourFilters(socket, hook).length > 0) return;
      addClsact(socket, hook.ifindex);
      pod.pins.withProgram(hook.program, (program) => addInFront(socket, hook, program));
    }),
  moveToFront: (pod, hook, freshProgram) =>
    withNetlink(NETLINK_ROUTE, pod.netns, (socket) => {
      const old = ourFilters(socket, hook);
      addInFront(socket, hook, freshProgram);
      removeFilters(socket, hook, old);
    }),
  replaceProgram: (pod, hook, program) =>
    withNetlink(NETLINK_ROUTE, pod.netns, (socket) => {
      for (const { handle } of ourFilters(socket, hook))
        setBpfFilter(socket, { ...hook, preference: PREFERENCE, handle }, program, filterName(hook));
    }),
  detach: (pod, hook) =>
    withNetlink(NETLINK_ROUTE, pod.netns, (socket) => removeFilters(socket, hook, ourFilters(socket, hook))),
};

function inspect(socket: NetlinkSocket, hook: Hook): HookState {
  const first = filtersOf(socket, hook)[0];
  if (first === undefined || ourFilters(socket, hook).length === 0) return { kind: "missing" };
  if (isOurs(first, hook)) return { kind: "first" };
  return { kind: "behind", foreign: `tc filter ${first.kind} ${first.name ?? ""} handle ${first.handle}` };
}

function ourFilters(socket: NetlinkSocket, hook: Hook): readonly TcFilter[] {
  return filtersOf(socket, hook).filter((f) => isOurs(f, hook));
}

function isOurs(filter: TcFilter, hook: Hook): boolean {
  return filter.preference === PREFERENCE && filter.name === filterName(hook);
}

function removeFilters(socket: NetlinkSocket, hook: Hook, filters: readonly TcFilter[]): void {
  for (const { handle } of filters) deleteBpfFilter(socket, { ...hook, preference: PREFERENCE, handle });
}

/** Empty when the device or its qdisc is gone. */
function filtersOf(socket: NetlinkSocket, hook: Hook): readonly TcFilter[] {
  try {
    return listFilters(socket, hook.ifindex, hook.direction);
  } catch (error) {
    if (isErrno(error, "ENODEV", "EINVAL", "ENOENT")) return [];
    throw error;
  }
}

/** The filter added last within a preference runs first. */
function addInFront(socket: NetlinkSocket, hook: Hook, program: number): void {
  const taken = filtersOf(socket, hook).filter((f) => f.preference === PREFERENCE);
  const handle = Math.max(0, ...taken.map((f) => f.handle)) + 1;
  setBpfFilter(socket, { ...hook, preference: PREFERENCE, handle }, program, filterName(hook));
}

function filterName(hook: Hook): string {
  return `ambit_${hook.program}`;
}

/** tcx programs run before every clsact filter. Undefined also on kernels without tcx. */
function foreignTcx(pod: PodContext, hook: Hook): string | undefined {
  try {
    const first = inNetns(pod.netns, () => queryTcx(hook.ifindex, hook.direction))[0];
    return first === undefined ? undefined : `tcx program ${first}`;
  } catch (error) {
    if (isErrno(error, "EINVAL", "EOPNOTSUPP", "ENOENT", "ENODEV")) return undefined;
    throw error;
  }
}
