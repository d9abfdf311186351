/**
 * Pure. What one connection to the node agent means: snapshot, then changes, one answer per message. Knows no sockets:
 * an event goes in, the steps to take come out (Istio's zds.proto; one protobuf message per packet).
 */
import { unreachable } from "#core/base/invariant.ts";
import type { PodUid } from "#core/model/ids.ts";
import type { ZdsRequest, ZdsWorkloadInfo } from "#core/wire/zds-codec.ts";

type ZdsPhase = "snapshot" | "live";

export interface ZdsSessionState {
  readonly phase: ZdsPhase;
  /** Pods named so far in the snapshot. */
  readonly mentioned: ReadonlySet<PodUid>;
}

/** What the pod manager is to do. Descriptor ownership goes with "add". */
export type ZdsStep =
  | {
      readonly kind: "add";
      readonly uid: PodUid;
      readonly workload: ZdsWorkloadInfo;
      readonly netnsFd: number;
    }
  | { readonly kind: "delete"; readonly uid: PodUid }
  /** Everything that the snapshot did not mention is gone. */
  | { readonly kind: "retain"; readonly uids: ReadonlySet<PodUid> };

export type ZdsOutcome =
  | { readonly kind: "step"; readonly state: ZdsSessionState; readonly step: ZdsStep | undefined }
  /** Answer with the error, then end the connection; a new one begins with a new snapshot. */
  | { readonly kind: "violation"; readonly error: string };

export const NEW_SESSION: ZdsSessionState = { phase: "snapshot", mentioned: new Set() };

export function onZdsMessage(
  state: ZdsSessionState,
  message: ZdsRequest,
  fds: readonly number[],
): ZdsOutcome {
  const fdProblem = checkFds(message, fds);
  if (fdProblem !== undefined) return { kind: "violation", error: fdProblem };
  switch (message.kind) {
    case "add": {
      const [netnsFd = -1] = fds;
      return step(mention(state, message.uid), { ...message, netnsFd });
    }
    case "keep":
      if (state.phase === "live") return { kind: "violation", error: "KeepWorkload after the snapshot" };
      return step(mention(state, message.uid), undefined);
    case "delete":
      return step(forget(state, message.uid), { kind: "delete", uid: message.uid });
    case "snapshot-sent":
      if (state.phase === "live") return { kind: "violation", error: "second SnapshotSent" };
      return step({ phase: "live", mentioned: new Set() }, { kind: "retain", uids: state.mentioned });
    default:
      return unreachable(message);
  }
}

function checkFds(message: ZdsRequest, fds: readonly number[]): string | undefined {
  const wanted = message.kind === "add" ? 1 : 0;
  if (fds.length === wanted) return undefined;
  return `${message.kind} came with ${fds.length} descriptors instead of ${wanted}`;
}

function step(state: ZdsSessionState, what: ZdsStep | undefined): ZdsOutcome {
  return { kind: "step", state, step: what };
}

function mention(state: ZdsSessionState, uid: PodUid): ZdsSessionState {
  return state.phase === "live" ? state : { ...state, mentioned: new Set([...state.mentioned, uid]) };
}

function forget(state: ZdsSessionState, uid: PodUid): ZdsSessionState {
  if (state.phase === "live") return state;
  return { ...state, mentioned: new Set([...state.mentioned].filter((other) => other !== uid)) };
}
