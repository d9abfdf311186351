/**
 * Desired pods (as the node agent announces them) and the proxies that serve them. A proxy that cannot start is reported
 * and tried again every 5 s; removal ends a pod's connections at once.
 */
import type { Clock } from "#core/base/clock.ts";
import { netnsFromFd, type Netns } from "#core/linux/netns.ts";
import type { PodUid } from "#core/model/ids.ts";
import type { SpiffeId } from "#core/model/spiffe-id.ts";
import { type Workload, workloadIdentity } from "#core/model/workload.ts";
import { describeError } from "#core/runtime/errors.ts";
import type { Logger } from "#core/runtime/log.ts";
import { spawn } from "#core/runtime/spawn.ts";
import type { LocalPod } from "../proxy/local-workload.ts";
import type { PodProxy } from "../proxy/pod-proxy.ts";
import type { PodSockets } from "../proxy/pod-sockets.ts";
import type { LocalPods, PodContext } from "../proxy/proxy-deps.ts";
import type { PodTarget } from "./zds-client.ts";
import type { ZdsStep } from "./zds-session.ts";

const RETRY_MS = 5_000;

export interface PodManagerDeps {
  readonly clock: Clock;
  readonly log: Logger;
  makeSockets(netns: Netns): PodSockets;
  makeProxy(pod: LocalPod, sockets: PodSockets): PodProxy;
  /** Tells readiness whether all announced pods are served and the agent is heard. */
  onReady(ready: boolean): void;
}

type ManagedPod =
  | { readonly kind: "up"; readonly pod: LocalPod; readonly netnsInode: bigint; readonly proxy: PodProxy }
  | { readonly kind: "pending"; readonly pod: LocalPod; readonly netns: Netns; readonly error: string };

export interface PodManagerCounts {
  readonly active: number;
  readonly pending: number;
  readonly started: number;
  readonly stopped: number;
}

export class PodManager implements PodTarget, LocalPods {
  readonly #deps: PodManagerDeps;
  readonly #pods = new Map<PodUid, ManagedPod>();
  readonly #byName = new Map<string, PodUid>();
  #synced = false;
  #started = 0;
  #stopped = 0;

  constructor(deps: PodManagerDeps) {
    this.#deps = deps;
  }

  async apply(step: ZdsStep): Promise<void> {
    if (step.kind === "add") {
      const { uid, workload, netnsFd } = step;
      await this.#add({ uid, ...workload }, netnsFd);
    } else if (step.kind === "delete") {
      await this.#remove(step.uid, "pod removed");
    } else {
      const gone = [...this.#pods.keys()].filter((uid) => !step.uids.has(uid));
      for (const uid of gone) await this.#remove(uid, "pod not in the node agent's snapshot");
    }
    this.#report();
  }

  setSynced(synced: boolean): void {
    this.#synced = synced;
    this.#report();
  }

  byWorkload(workload: Workload): PodContext | undefined {
    const uid = this.#byName.get(`${workload.namespace}/${workload.name}`);
    const managed = uid === undefined ? undefined : this.#pods.get(uid);
    if (managed?.kind !== "up" || managed.pod.serviceAccount !== workload.serviceAccount) return undefined;
    const { node } = managed.proxy.context.deps.options;
    return workload.node === node && workloadIdentity(workload) !== undefined
      ? managed.proxy.context
      : undefined;
  }

  list(): readonly { readonly pod: LocalPod; readonly state: "Up" | "Pending" }[] {
    return [...this.#pods.values()].map(({ kind, pod }) => ({
      pod,
      state: kind === "up" ? "Up" : "Pending",
    }));
  }

  /** Whether some pod of this node still speaks for the identity. */
  serves(identity: SpiffeId): boolean {
    return this.list().some(({ pod }) => identity.endsWith(`/ns/${pod.namespace}/sa/${pod.serviceAccount}`));
  }

  counts(): PodManagerCounts {
    const active = [...this.#pods.values()].filter((p) => p.kind === "up").length;
    return { active, pending: this.#pods.size - active, started: this.#started, stopped: this.#stopped };
  }

  /** Stops listening everywhere and resolves when every connection has ended. */
  async drain(): Promise<void> {
    await Promise.all(this.#proxies().map((proxy) => proxy.drain()));
  }

  async stop(reason: string): Promise<void> {
    await Promise.all([...this.#pods.keys()].map((uid) => this.#remove(uid, reason)));
  }

  async #add(pod: LocalPod, netnsFd: number): Promise<void> {
    const netns = netnsFromFd(netnsFd);
    const known = this.#pods.get(pod.uid);
    if (known?.kind === "up" && known.netnsInode === netns.inode) {
      netns.close();
      return;
    }
    if (known !== undefined) await this.#remove(pod.uid, "pod announced again with another namespace");
    await this.#start(pod, netns);
  }

  async #start(pod: LocalPod, netns: Netns): Promise<void> {
    const before = this.#pods.get(pod.uid);
    try {
      const sockets = this.#deps.makeSockets(netns);
      const proxy = this.#deps.makeProxy(pod, sockets);
      await proxy.start();
      if (this.#pods.get(pod.uid) !== before) return await proxy.stop("pod changed while it was starting");
      this.#pods.set(pod.uid, { kind: "up", pod, netnsInode: netns.inode, proxy });
      this.#byName.set(`${pod.namespace}/${pod.name}`, pod.uid);
      this.#started++;
      this.#deps.log.info({ pod: pod.name, namespace: pod.namespace, uid: pod.uid }, "pod enrolled");
    } catch (error) {
      const text = describeError(error);
      this.#pods.set(pod.uid, { kind: "pending", pod, netns, error: text });
      this.#deps.log.warn({ pod: pod.name, namespace: pod.namespace, error: text }, "pod not served yet");
      this.#deps.clock.after(RETRY_MS, () => this.#retry(pod.uid, netns));
      throw error;
    }
  }

  #retry(uid: PodUid, netns: Netns): void {
    const pending = this.#pods.get(uid);
    if (pending?.kind !== "pending" || pending.netns !== netns) return;
    spawn(this.#deps.log, "pod-start-retry", async () => {
      await this.#start(pending.pod, netns).catch(() => undefined); // logged by #start, which tries again
      this.#report();
    });
  }

  async #remove(uid: PodUid, reason: string): Promise<void> {
    const managed = this.#pods.get(uid);
    if (managed === undefined) return;
    this.#pods.delete(uid);
    const name = `${managed.pod.namespace}/${managed.pod.name}`;
    if (this.#byName.get(name) === uid) this.#byName.delete(name);
    if (managed.kind === "pending") return managed.netns.close();
    await managed.proxy.stop(reason);
    this.#stopped++;
    this.#deps.log.info({ pod: managed.pod.name, namespace: managed.pod.namespace, uid, reason }, "pod left");
  }

  #report(): void {
    this.#deps.onReady(this.#synced && this.counts().pending === 0);
  }

  #proxies(): readonly PodProxy[] {
    return [...this.#pods.values()].flatMap((p) => (p.kind === "up" ? [p.proxy] : []));
  }
}
