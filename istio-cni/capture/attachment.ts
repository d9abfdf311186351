/**
 * How a tc program hangs on a device. Two implementations of one contract (attach-tcx.ts, attach-clsact.ts), which
 * pass the same suite. All calls are idempotent.
 */
import type { TcDirection } from "#core/linux/tc-netlink.ts";
import type { Netns } from "#core/linux/netns.ts";
import type { Attachment } from "./capture.ts";
import type { PodPins } from "./pins.ts";

export interface Hook {
  readonly program: "egress" | "loopback";
  readonly direction: TcDirection;
  readonly ifindex: number;
  readonly device: string;
}

export type HookState =
  /** Ours runs first. */
  | { readonly kind: "first" }
  | { readonly kind: "missing" }
  /** Something else runs before ours and may end the chain. */
  | { readonly kind: "behind"; readonly foreign: string };

export interface PodContext {
  readonly pins: PodPins;
  readonly netns: Netns;
}

export interface Attacher {
  readonly kind: Attachment;
  inspect(pod: PodContext, hook: Hook): HookState;
  /** Attaches in front of everything; when ours is there already, nothing changes. */
  attach(pod: PodContext, hook: Hook): void;
  /** Moves ours to the front with a fresh copy of the program, without a moment of absence. */
  moveToFront(pod: PodContext, hook: Hook, freshProgram: number): void;
  /** Puts `program` in place of the running one. */
  replaceProgram(pod: PodContext, hook: Hook, program: number): void;
  detach(pod: PodContext, hook: Hook): void;
}

export const LOOPBACK_HOOK: Hook = { program: "loopback", direction: "ingress", ifindex: 1, device: "lo" };

export function egressHook(device: { readonly ifindex: number; readonly name: string }): Hook {
  return { program: "egress", direction: "egress", ifindex: device.ifindex, device: device.name };
}
