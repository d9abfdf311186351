/**
 * ztunnel's listeners: found by a program that looks them up inside the pod's namespace and puts them into the
 * listener map (needs nothing of ztunnel), and duplicated so that its crash refuses nobody (needs its pid).
 * The fail-closed path depends on the first alone.
 */
import { closeSync } from "node:fs";
import { systemClock, type Clock } from "#core/base/clock.ts";
import { testRunTc } from "#core/linux/bpf.ts";
import { inNetns } from "#core/linux/netns.ts";
import { duplicateSockets } from "#core/linux/pidfd.ts";
import { listTcpSockets, LISTEN_STATES } from "#core/linux/sock-diag.ts";
import { setSocketOption } from "#core/linux/socket-options.ts";
import { takenPortText } from "#core/model/taken-port.ts";
import type { AdoptOutcome, CaptureTarget, HeldListeners, ListenerRole } from "./capture.ts";
import {
  ADOPT_RESULT,
  LISTENER_ROLES,
  MARK_BITS,
  MARK_ZTUNNEL,
  ROLE_INDEX,
  ROLE_PORT,
} from "./kernel-names.ts";
import type { PodPins } from "./pins.ts";

/** With several listeners per port each try picks one of them by hash. */
const MAX_TRIES = 64;

/** All roles or a refusal. Roles adopted before the refused one keep their new listener, which is as good. */
export function adoptListeners(pins: PodPins, target: CaptureTarget, which: "any" | "fresh"): AdoptOutcome {
  return pins.withProgram("adopt", (program) =>
    inNetns(target.netns, () => {
      for (const role of LISTENER_ROLES) {
        const outcome = adoptRole(program, role, which === "fresh");
        if (outcome.kind === "refused") return outcome;
      }
      return { kind: "adopted" };
    }),
  );
}

function adoptRole(program: number, role: ListenerRole, fresh: boolean): AdoptOutcome {
  const seen = new Set<number>();
  for (let attempt = 0; attempt < MAX_TRIES; attempt++) {
    const sourcePort = 40_000 + 7 * attempt;
    // A random address of 127.0.0.0/8: an application cannot hide the listener behind one bound to 127.0.0.1.
    const host = 2 + Math.floor(Math.random() * 0xff_fff0);
    const result = testRunTc(program, [ROLE_PORT[role], ROLE_INDEX[role], sourcePort, fresh ? 1 : 0, host]);
    if (result === ADOPT_RESULT.ok) return { kind: "adopted" };
    if (result === ADOPT_RESULT.noSocket) break;
    seen.add(result);
  }
  return refusal(role, seen);
}

function refusal(role: ListenerRole, seen: ReadonlySet<number>): AdoptOutcome {
  const port = ROLE_PORT[role];
  if (seen.has(ADOPT_RESULT.foreign)) {
    return { kind: "refused", reason: "foreign-listener", role, message: takenPortText(port) };
  }
  if (seen.has(ADOPT_RESULT.old)) {
    const message = `no new listener on port ${port}`;
    return { kind: "refused", reason: "only-old-listeners", role, message };
  }
  if (seen.has(ADOPT_RESULT.busy)) {
    return {
      kind: "refused",
      reason: "kernel",
      role,
      message: `the listener map stayed busy (port ${port})`,
    };
  }
  const message = `ztunnel does not listen on port ${port} of the pod`;
  return { kind: "refused", reason: "no-listener", role, message };
}

/**
 * Duplicates ztunnel's listeners of this pod. They get SO_REUSEADDR, which accepted sockets inherit: without it an
 * application cannot bind a port that a captured connection uses.
 */
export function holdListeners(
  target: CaptureTarget,
  ztunnelPid: number,
  clock: Clock = systemClock,
): HeldListeners {
  const ports = new Set(LISTENER_ROLES.map((role) => ROLE_PORT[role]));
  const inodes = listTcpSockets({ netns: target.netns, states: LISTEN_STATES })
    .filter((entry) => ports.has(entry.local.port) && (entry.mark & MARK_BITS) === MARK_ZTUNNEL)
    .map((entry) => entry.inode);
  const fds = [...duplicateSockets(ztunnelPid, new Set(inodes))];
  for (const fd of fds) setSocketOption(fd, "SO_REUSEADDR", 1);
  let cancel: (() => void) | undefined;
  const keep = (): void => {
    cancel?.();
    cancel = undefined;
  };
  const release = (): void => {
    keep();
    for (const fd of fds.splice(0)) closeSync(fd);
  };
  return {
    get count() {
      return fds.length;
    },
    release,
    keep,
    releaseAfter: (ms) => {
      keep();
      cancel = clock.after(ms, release);
    },
  };
}
