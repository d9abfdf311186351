/**
 * Makes pods part of the mesh and lets them leave, in the only safe orders:
 * join:  ZDS add -> acknowledged (ztunnel listens) -> capture -> hold listeners -> watch devices -> annotate
 * leave: stop capturing new connections -> withdraw the annotation -> wait -> detach -> ZDS delete LAST
 * A pod that ends is different: its namespace dies with it, so pins stay until the namespace is gone.
 * One operation per pod at a time.
 */
import type { Netns } from "#core/linux/netns.ts";
import { describeError } from "#core/runtime/errors.ts";
import type { Logger } from "#core/runtime/log.ts";
import type { CaptureTarget, DeviceEvent, EnrolOptions, NodeCapture } from "../capture/capture.ts";
import { type PodEntry, PodRegistry } from "./pod-registry.ts";
import { type PodRef, podText } from "./pod-ref.ts";
import type { RefusalCounts } from "./refusals.ts";
import { TurnQueue } from "./turn-queue.ts";
import type { ZdsAnswer, ZtunnelPeer } from "./zds-server.ts";
import type { ZdsRequest } from "#core/wire/zds-codec.ts";

/** The part of the ZDS server that is used here. */
export interface PodAnnouncer {
  newest(): ZtunnelPeer | undefined;
  add(request: ZdsRequest, fd: number): Promise<ZdsAnswer>;
  broadcast(request: ZdsRequest): Promise<void>;
}

export interface MeshDataplaneDeps {
  readonly capture: NodeCapture;
  readonly zds: PodAnnouncer;
  /** Sets or removes the pod's redirection annotation; retried by its owner, never rejects. */
  readonly annotate: (pod: PodRef, captured: boolean) => Promise<void>;
  readonly onJoined: (pod: PodRef) => void;
  readonly onDeviceEvent: (pod: PodRef, event: DeviceEvent) => void;
  readonly drainMs: number;
  readonly holdMs: number;
  readonly refusals: RefusalCounts;
  readonly log: Logger;
}

export type JoinOutcome =
  | { readonly kind: "joined" }
  /** Nothing of the attempt is left; the sentence says what to do. */
  | { readonly kind: "refused"; readonly message: string };

export class MeshDataplane {
  readonly pods: PodRegistry = new PodRegistry();
  readonly #deps: MeshDataplaneDeps;
  readonly #turns = new TurnQueue();

  constructor(deps: MeshDataplaneDeps) {
    this.#deps = deps;
  }

  /** Takes over `netns`, also when it refuses. */
  join(pod: PodRef, netns: Netns, options: EnrolOptions = {}): Promise<JoinOutcome> {
    return this.#turns.run(pod.uid, () => this.#join(pod, netns, options));
  }

  /**
   * A pod that an earlier agent captured, or had begun to (`complete` false): served again as soon as a ztunnel is told
   * of it. Takes over `netns`.
   */
  takeOver(
    pod: PodRef,
    netns: Netns,
    found: { readonly complete: boolean; readonly annotated: boolean },
  ): void {
    const target = { podUid: pod.uid, netns, ips: pod.ips };
    this.#renewPrograms(pod, target);
    const watch = this.#deps.capture.watchDevices(target, (event) => this.#deps.onDeviceEvent(pod, event));
    this.pods.put({ pod, target, held: undefined, watch, interrupted: !found.complete });
    // The earlier agent may have ended between the two.
    if (found.complete && !found.annotated) void this.#deps.annotate(pod, true);
  }

  /** Lets a running pod leave; its live connections end first, or at the drain deadline. */
  leave(uid: string): Promise<void> {
    return this.#turns.run(uid, () => this.#leave(uid));
  }

  /** The pod has ended or is being deleted. */
  ended(uid: string): Promise<void> {
    return this.#turns.run(uid, () => this.#ended(uid));
  }

  /** A ztunnel is ready to serve these pods: its listeners take over, duplicates of the old ones are released. */
  ztunnelReady(peer: ZtunnelPeer, uids: readonly string[]): void {
    for (const uid of uids) void this.#turns.run(uid, () => this.#moveListeners(uid, peer));
  }

  /** The last ztunnel is gone: connections wait in the held listeners, but not for ever. */
  ztunnelGone(): void {
    for (const entry of this.pods.all()) entry.held?.releaseAfter(this.#deps.holdMs);
  }

  /** Withdraws the annotation of a pod that is not captured. */
  disown(pod: PodRef): Promise<void> {
    this.#deps.log.warn(
      { pod: podText(pod) },
      "annotated as captured and is not: the annotation is withdrawn",
    );
    return this.#deps.annotate(pod, false);
  }

  /** What is wrong with the pod's capture now, after repair; undefined when nothing is. */
  faultOf(entry: PodEntry): string | undefined {
    const { capture } = this.#deps;
    const verified = capture.verifyAttachment(entry.target);
    if (verified.kind === "broken")
      return `capture is broken: ${verified.problems.map((p) => p.message).join("; ")}`;
    const state = capture.podCaptureState(entry.target);
    if (verified.kind === "not-enrolled" || state === undefined) return "the pod is no longer captured";
    const gone = Object.entries(state.listeners).flatMap(([role, there]) => (there ? [] : role));
    return gone.length === 0 ? undefined : `ztunnel has no listener (${gone.join(", ")}) in the pod`;
  }

  close(): void {
    for (const entry of this.pods.all()) this.#release(entry);
  }

  async #join(pod: PodRef, netns: Netns, options: EnrolOptions): Promise<JoinOutcome> {
    const { capture, zds, log } = this.#deps;
    const known = this.pods.get(pod.uid);
    const same = known !== undefined && known.target.netns.inode === netns.inode;
    if (same && (!known.interrupted || zds.newest() === undefined)) {
      netns.close();
      return known.interrupted
        ? { kind: "refused", message: "an interrupted enrolment waits for a ztunnel" }
        : { kind: "joined" };
    }
    if (known !== undefined) this.#release(known); // a new sandbox of the same pod
    const entry: PodEntry = {
      pod,
      target: { podUid: pod.uid, netns, ips: pod.ips },
      held: undefined,
      watch: undefined,
      interrupted: false,
    };
    this.pods.put(entry);
    const answer = await zds.add(addRequest(pod), netns.fd);
    if (answer.kind !== "acked") return this.#abandon(entry, `ztunnel does not serve it: ${answer.error}`);
    const outcome = await capture.enrolPod(entry.target, options);
    if (outcome.kind === "refused") return this.#abandon(entry, `${outcome.reason}: ${outcome.message}`);
    this.#hold(entry, zds.newest());
    entry.watch = capture.watchDevices(entry.target, (event) => this.#deps.onDeviceEvent(pod, event));
    const old = outcome.kind === "enrolled" ? outcome.preEnrolmentConnections : 0;
    log.info({ pod: podText(pod), attachment: outcome.attachment, pre_enrolment: old }, "pod captured");
    this.#deps.onJoined(pod);
    await this.#deps.annotate(pod, true);
    return { kind: "joined" };
  }

  async #abandon(entry: PodEntry, message: string): Promise<JoinOutcome> {
    this.pods.remove(entry.pod.uid);
    await this.#deps.zds.broadcast({ kind: "delete", uid: entry.pod.uid });
    this.#release(entry);
    this.#deps.log.warn({ pod: podText(entry.pod), reason: message }, "pod not captured");
    this.#deps.refusals.count("capture");
    return { kind: "refused", message };
  }

  async #leave(uid: string): Promise<void> {
    const entry = this.pods.get(uid);
    if (entry === undefined) return;
    const { capture, zds, log, drainMs } = this.#deps;
    for (;;) {
      const outcome = await capture.unEnrolPod(entry.target, {
        drainMs,
        onDraining: () => this.#deps.annotate(entry.pod, false),
      });
      if (outcome.kind !== "still-captured") {
        const destroyed = outcome.kind === "removed" ? outcome.destroyedConnections : 0;
        log.info({ pod: podText(entry.pod), destroyed }, "pod no longer captured");
        break;
      }
      log.warn(
        { pod: podText(entry.pod), connections: outcome.connections, reason: outcome.message },
        "pod still captured",
      );
    }
    this.pods.remove(uid);
    await zds.broadcast({ kind: "delete", uid: entry.pod.uid });
    this.#release(entry);
  }

  async #ended(uid: string): Promise<void> {
    const entry = this.pods.get(uid);
    if (entry === undefined) return;
    this.pods.remove(uid);
    await this.#deps.zds.broadcast({ kind: "delete", uid: entry.pod.uid });
    this.#release(entry);
    this.#deps.log.info({ pod: podText(entry.pod) }, "pod ended");
  }

  #moveListeners(uid: string, peer: ZtunnelPeer): Promise<void> {
    const entry = this.pods.get(uid);
    if (entry !== undefined && this.#deps.zds.newest()?.id === peer.id) {
      const { capture, log } = this.#deps;
      const fresh = capture.adoptListeners(entry.target, "fresh");
      // The same ztunnel after a lost connection has no new listeners: its old ones are the right ones.
      const outcome =
        fresh.kind === "refused" && fresh.reason === "only-old-listeners"
          ? capture.adoptListeners(entry.target, "any")
          : fresh;
      if (outcome.kind === "refused") {
        log.error(
          { pod: podText(entry.pod), role: outcome.role, reason: outcome.message },
          "listeners not adopted",
        );
      } else {
        this.#hold(entry, peer);
      }
    }
    return Promise.resolve();
  }

  /** Programs of an older build still capture, so a failure is said and changes nothing. */
  #renewPrograms(pod: PodRef, target: CaptureTarget): void {
    const { capture, log } = this.#deps;
    try {
      if (!capture.hasOldPrograms(target)) return;
      capture.upgradePrograms(target);
      log.info({ pod: podText(pod) }, "kernel programs of an earlier version replaced");
    } catch (error) {
      const reason = describeError(error);
      log.error(
        { pod: podText(pod), reason },
        "kernel programs not replaced: those of an earlier version stay",
      );
    }
  }

  /** For availability alone: capture fails closed without it. */
  #hold(entry: PodEntry, peer: ZtunnelPeer | undefined): void {
    const before = entry.held;
    entry.held = undefined;
    try {
      if (peer !== undefined) entry.held = this.#deps.capture.holdListeners(entry.target, peer.pid);
    } catch (error) {
      const reason = describeError(error);
      this.#deps.log.warn(
        { pod: podText(entry.pod), reason },
        "listeners not held: a crash of ztunnel will refuse connections",
      );
    }
    before?.release();
  }

  #release(entry: PodEntry): void {
    entry.watch?.close();
    entry.held?.release();
    entry.target.netns.close();
  }
}

export function addRequest(pod: PodRef): ZdsRequest {
  const { name, namespace, serviceAccount } = pod;
  return { kind: "add", uid: pod.uid, workload: { name, namespace, serviceAccount } };
}
