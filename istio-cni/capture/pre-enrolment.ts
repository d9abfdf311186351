/** Connections older than the enrolment: left alone and listed, until a policy covers the pod. */
import { listTcpSockets, LISTEN_STATES, type TcpSocketEntry } from "#core/linux/sock-diag.ts";
import type { CaptureTarget, PreEnrolmentConnection } from "./capture.ts";
import type { PodPins } from "./pins.ts";
import { isProbe } from "./probe-exemption.ts";
import { destroySockets, takeCensus } from "./socket-census.ts";

/** `probes` is the node's map: the kubelet's connections are not captured either, at any age. */
export interface PreEnrolmentDeps {
  readonly pins: PodPins;
  readonly probes: number;
}

export function listPreEnrolment(
  deps: PreEnrolmentDeps,
  target: CaptureTarget,
): readonly PreEnrolmentConnection[] {
  const ports = listeningPorts(target);
  return olderSockets(deps, target).map((entry) => describe(entry, ports));
}

export function destroyPreEnrolment(
  deps: PreEnrolmentDeps,
  target: CaptureTarget,
  which: (connection: PreEnrolmentConnection) => boolean,
): number {
  const ports = listeningPorts(target);
  const chosen = olderSockets(deps, target).filter((e) => which(describe(e, ports)));
  return destroySockets(target.netns, chosen);
}

function olderSockets({ pins, probes }: PreEnrolmentDeps, target: CaptureTarget): readonly TcpSocketEntry[] {
  return takeCensus(pins, target.netns).preEnrolment.filter((entry) => !isProbe(probes, entry));
}

/** The kernel does not record who opened a connection; one to a port that the pod listens on came in. */
function describe(entry: TcpSocketEntry, ports: ReadonlySet<number>): PreEnrolmentConnection {
  const { local, remote, state, inode } = entry;
  return { direction: ports.has(local.port) ? "inbound" : "outbound", local, remote, state, inode };
}

function listeningPorts(target: CaptureTarget): ReadonlySet<number> {
  return new Set(
    listTcpSockets({ netns: target.netns, states: LISTEN_STATES }).map((entry) => entry.local.port),
  );
}
