/**
 * This replica's own Lease: renewed every 5 s, and written when its report has changed. While others live, a replica that has not renewed it
 * for 10 s serves nobody (`standing.ts`); they count on it for 15.
 */
import { deadline } from "#core/base/abort.ts";
import type { Clock } from "#core/base/clock.ts";
import { serverSideApply } from "#core/k8s/apply.ts";
import type { KubeClient } from "#core/k8s/kube-client.ts";
import { LEASE } from "#core/k8s/kinds.ts";
import { describeError } from "#core/runtime/errors.ts";
import type { Logger } from "#core/runtime/log.ts";
import { spawn } from "#core/runtime/spawn.ts";
import { LEASE_MS, replicaContent, replicaLeaseName } from "./replica-object.ts";
import { formatReport, NO_REPORT, type ReplicaReport, TOO_MUCH } from "./replica-report.ts";

export interface ReplicaLeaseDeps {
  readonly client: KubeClient;
  readonly clock: Clock;
  readonly log: Logger;
  readonly namespace: string;
  readonly podName: string;
  readonly podUid: string;
  /** This process. */
  readonly holder: string;
  /** Right before a write. */
  readonly onSend: (renewTime: string, nowMs: number) => void;
  /** A write has succeeded. `lapsed`: others may have counted this replica as gone in between. */
  readonly onRenewed: (lapsed: boolean) => void;
}

const FIELD_MANAGER = "ambit-controller-replica";
const RENEW_MS = 5_000;
const RETRY_MS = 1_000;
const TIMEOUT_MS = 4_000;
/** What has not been heard of for this long is not relied on. */
export const FRESH_MS = 10_000;
/** Acknowledgements come together: what is not complete waits for more this long. */
const GATHER_MS = 300;
const PAUSE_MS = 20;

export class ReplicaLease {
  readonly #deps: ReplicaLeaseDeps;
  readonly #stopped = new AbortController();
  #report = formatReport(NO_REPORT) ?? TOO_MUCH;
  #written = "";
  #lastMicros = 0;
  #renewedMs: number | undefined;
  /** When the next renewal is due, and when what has changed since. */
  #renewAtMs = 0;
  #reportAtMs = Number.POSITIVE_INFINITY;
  #writing: Promise<void> | undefined;
  #cancelTimer: () => void = () => undefined;

  constructor(deps: ReplicaLeaseDeps) {
    this.#deps = deps;
  }

  start(): void {
    this.#arm();
  }

  /** True while no other replica can have counted this one as gone, by far. */
  isFresh(): boolean {
    return this.#renewedMs !== undefined && this.#deps.clock.monotonicMs() - this.#renewedMs < FRESH_MS;
  }

  /** What the Lease is to say. */
  offer(report: ReplicaReport): void {
    const text = formatReport(report);
    if (text === undefined && this.#report !== TOO_MUCH)
      this.#deps.log.error({ proxies: report.proxies.length }, "report of this replica is too long");
    this.#report = text ?? TOO_MUCH;
    if (this.#report === this.#written) this.#reportAtMs = Number.POSITIVE_INFINITY;
    else {
      const isComplete = [...report.gateways.values()].every(({ behind }) => behind.size === 0);
      const dueMs = this.#deps.clock.monotonicMs() + (isComplete ? PAUSE_MS : GATHER_MS);
      this.#reportAtMs = Math.min(this.#reportAtMs, dueMs);
    }
    this.#arm();
  }

  /** Says good-bye, so that nobody waits for it. */
  async stop(): Promise<void> {
    this.#cancelTimer();
    this.#stopped.abort(new DOMException("replica stopped", "AbortError"));
    await this.#writing;
    if (this.#renewedMs === undefined) return;
    try {
      await this.#put("", formatReport(NO_REPORT) ?? TOO_MUCH);
    } catch (error) {
      this.#deps.log.warn({ error: describeError(error) }, "replica's lease not given back");
    }
  }

  #arm(): void {
    this.#cancelTimer();
    if (this.#writing !== undefined || this.#stopped.signal.aborted) return;
    const { clock, log } = this.#deps;
    const dueMs = Math.min(this.#renewAtMs, this.#reportAtMs);
    this.#cancelTimer = clock.after(Math.max(0, dueMs - clock.monotonicMs()), () => {
      this.#writing = this.#write();
      spawn(log, "replica", async () => {
        await this.#writing;
        this.#writing = undefined;
        this.#arm();
      });
    });
  }

  async #write(): Promise<void> {
    const { clock, log, holder, onRenewed } = this.#deps;
    const startMs = clock.monotonicMs();
    const report = this.#report;
    this.#reportAtMs = Number.POSITIVE_INFINITY;
    try {
      await this.#put(holder, report);
      const beforeMs = this.#renewedMs;
      this.#renewedMs = startMs;
      this.#written = report;
      this.#renewAtMs = startMs + RENEW_MS;
      onRenewed(beforeMs !== undefined && clock.monotonicMs() - beforeMs >= LEASE_MS);
    } catch (error) {
      if (this.#stopped.signal.aborted) return;
      this.#renewAtMs = clock.monotonicMs() + RETRY_MS;
      log.warn({ error: describeError(error), retry_ms: RETRY_MS }, "replica's lease not renewed");
    }
    if (this.#report !== report) this.#reportAtMs = clock.monotonicMs() + PAUSE_MS;
  }

  async #put(holder: string, report: string): Promise<void> {
    const { client, clock, namespace, podName, podUid, onSend } = this.#deps;
    const renewTime = this.#nextRenewTime();
    onSend(renewTime, clock.monotonicMs());
    const signal = holder === "" ? undefined : this.#stopped.signal;
    await serverSideApply(
      client,
      { kind: LEASE, namespace, name: replicaLeaseName(podName) },
      replicaContent({ namespace, podName, podUid, holder, renewTime, report }),
      { fieldManager: FIELD_MANAGER, force: true, signal: deadline(TIMEOUT_MS, signal) },
    );
  }

  /** For people, but for one thing: no two writes of a process have the same. */
  #nextRenewTime(): string {
    this.#lastMicros = Math.max(this.#lastMicros + 1, Math.floor(this.#deps.clock.nowMs() * 1_000));
    const millis = new Date(Math.floor(this.#lastMicros / 1_000)).toISOString().slice(0, -1);
    return `${millis}${String(this.#lastMicros % 1_000).padStart(3, "0")}Z`;
  }
}
