/**
 * Leader election by a coordination.k8s.io Lease, compare-and-swap on its resourceVersion. Times follow Kubernetes:
 * 15 s lease, 10 s until the leader gives up, 2 s between tries. Deadlines use the monotonic clock of this process;
 * the times written into the object are for people, nobody's clock is compared with anybody else's.
 */
import { isAbort } from "../base/abort.ts";
import { type Clock, systemClock } from "../base/clock.ts";
import { AmbitError, describeError } from "../runtime/errors.ts";
import type { Logger } from "../runtime/log.ts";
import { jsonNumber, jsonObject, jsonText } from "./json-read.ts";
import { apiVersion, kindPath, LEASE } from "./kinds.ts";
import { type KubeClient, kubeStatus } from "./kube-client.ts";

export interface LeaseOptions {
  readonly client: KubeClient;
  readonly namespace: string;
  readonly name: string;
  /** Unique per process, such as the pod's name. */
  readonly identity: string;
  readonly log: Logger;
  readonly clock?: Clock;
  readonly leaseMs?: number;
  readonly renewDeadlineMs?: number;
  readonly retryMs?: number;
  /** Leadership began or ended. */
  readonly onChange?: (leader: boolean) => void;
}

/** What was last read, and since when (monotonic) it has not changed. */
export interface ObservedLease {
  readonly resourceVersion: string;
  readonly holder: string;
  readonly durationMs: number;
  readonly transitions: number;
  readonly sinceMs: number;
}

export type LeaseStep = "create" | "renew" | "take" | "wait";

/** Pure. What to do about the lease; a holder counts as dead when it has not renewed for its own duration. */
export function decideLease(seen: ObservedLease | undefined, identity: string, nowMs: number): LeaseStep {
  if (seen === undefined) return "create";
  if (seen.holder === identity) return "renew";
  return seen.holder === "" || nowMs - seen.sinceMs >= seen.durationMs ? "take" : "wait";
}

export class LeaderElection {
  readonly #options: LeaseOptions;
  readonly #clock: Clock;
  readonly #stopped = new AbortController();
  #seen: ObservedLease | undefined;
  #renewedMs: number | undefined;
  #leading = false;
  #loop: Promise<void> = Promise.resolve();

  constructor(options: LeaseOptions) {
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
  }

  start(): void {
    this.#loop = this.#run();
  }

  /** True only within the renew deadline of the last successful renewal: ask right before every write. */
  isLeader(): boolean {
    const limit = this.#options.renewDeadlineMs ?? 10_000;
    return this.#renewedMs !== undefined && this.#clock.monotonicMs() - this.#renewedMs < limit;
  }

  /** Ends the election and gives the lease back, so that a successor need not wait. */
  async stop(): Promise<void> {
    this.#stopped.abort(new DOMException("election stopped", "AbortError"));
    await this.#loop;
    if (this.isLeader()) await this.#release();
    this.#renewedMs = undefined;
    this.#report();
  }

  async #run(): Promise<void> {
    const { signal } = this.#stopped;
    while (!signal.aborted) {
      await this.#once(signal).catch((error: unknown) => {
        if (!isAbort(error)) this.#options.log.warn({ error: describeError(error) }, "lease not renewed");
      });
      this.#report();
      await this.#clock.sleep(this.#options.retryMs ?? 2_000, signal).catch(() => undefined);
    }
  }

  #report(): void {
    const leading = this.isLeader();
    if (leading === this.#leading) return;
    this.#leading = leading;
    this.#options.log.info({ lease: this.#options.name, leader: leading }, "leadership changed");
    this.#options.onChange?.(leading);
  }

  async #once(signal: AbortSignal): Promise<void> {
    this.#observe(await this.#get(signal));
    const startMs = this.#clock.monotonicMs();
    const step = decideLease(this.#seen, this.#options.identity, startMs);
    if (step === "wait") {
      this.#renewedMs = undefined;
      return;
    }
    try {
      this.#observe(await this.#write(step, signal));
      this.#renewedMs = startMs;
    } catch (error) {
      if (kubeStatus(error) !== 409) throw error;
      this.#renewedMs = undefined;
    }
  }

  async #get(signal: AbortSignal): Promise<unknown> {
    const { client, namespace, name } = this.#options;
    try {
      return await client.json({
        method: "GET",
        path: kindPath(LEASE, { namespace, name }),
        timeoutMs: this.#requestMs(),
        signal,
      });
    } catch (error) {
      if (kubeStatus(error) === 404) return undefined;
      throw error;
    }
  }

  #write(step: "create" | "renew" | "take", signal: AbortSignal): Promise<unknown> {
    const { client, namespace, name } = this.#options;
    return client.json({
      method: step === "create" ? "POST" : "PUT",
      path: kindPath(LEASE, step === "create" ? { namespace } : { namespace, name }),
      body: this.#body(this.#options.identity, step === "take" ? 1 : 0),
      timeoutMs: this.#requestMs(),
      signal,
    });
  }

  /** Reads first: the renewal that the stop cut short may have reached the server. */
  async #release(): Promise<void> {
    const { client, namespace, name, log, identity } = this.#options;
    const path = kindPath(LEASE, { namespace, name });
    try {
      this.#observe(await client.json({ method: "GET", path, timeoutMs: this.#requestMs() }));
      if (this.#seen?.holder !== identity) return;
      await client.json({ method: "PUT", path, body: this.#body("", 0), timeoutMs: this.#requestMs() });
    } catch (error) {
      log.warn({ error: describeError(error) }, "lease not released");
    }
  }

  #body(holder: string, extraTransitions: number): object {
    const { namespace, name, leaseMs = 15_000 } = this.#options;
    const now = new Date(this.#clock.nowMs()).toISOString().replace("Z", "000Z");
    return {
      apiVersion: apiVersion(LEASE),
      kind: LEASE.kind,
      metadata: { name, namespace, ...(this.#seen && { resourceVersion: this.#seen.resourceVersion }) },
      spec: {
        holderIdentity: holder,
        leaseDurationSeconds: Math.ceil(leaseMs / 1_000),
        acquireTime: now,
        renewTime: now,
        leaseTransitions: (this.#seen?.transitions ?? 0) + extraTransitions,
      },
    };
  }

  #observe(raw: unknown): void {
    if (raw === undefined) {
      this.#seen = undefined;
      return;
    }
    const object = jsonObject(raw);
    const spec = jsonObject(object["spec"]);
    const resourceVersion = jsonText(jsonObject(object["metadata"])["resourceVersion"]);
    if (resourceVersion === "") throw new AmbitError("KUBE_BAD_ANSWER", "the lease has no resourceVersion");
    const unchanged = this.#seen?.resourceVersion === resourceVersion;
    this.#seen = {
      resourceVersion,
      holder: jsonText(spec["holderIdentity"]),
      durationMs: (jsonNumber(spec["leaseDurationSeconds"]) ?? 15) * 1_000,
      transitions: jsonNumber(spec["leaseTransitions"]) ?? 0,
      sinceMs: unchanged ? (this.#seen?.sinceMs ?? 0) : this.#clock.monotonicMs(),
    };
  }

  #requestMs(): number {
    return (this.#options.renewDeadlineMs ?? 10_000) / 2;
  }
}
