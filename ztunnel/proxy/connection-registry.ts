/**
 * Steps O7 and I6: the connections alive now. Those that policy rules are judged again whenever a policy or their
 * workload changes, and closed when the answer is no longer yes; those that go past a waypoint which has become bound are
 * drained. Also the source of `config_dump`'s connection list.
 */
import type { Clock } from "#core/base/clock.ts";
import type { PodUid, WorkloadUid } from "#core/model/ids.ts";
import type { MeshState, StateChange } from "#core/state/mesh-state.ts";
import type { Verdict } from "./authorize.ts";
import { BindingDrain, type DrainableConnection } from "./binding-drain.ts";
import type { ConnectionRecord } from "./connection-log.ts";
import { mustMove, type NewlyBound, newlyBound, touches } from "./newly-bound.ts";
import type { Reason } from "./response-flag.ts";

/** How to judge a connection again. */
export interface PolicyWatch {
  readonly workload: WorkloadUid;
  /** Pure; with the state as it is now. */
  verdict(): Verdict;
}

export interface TrackedConnection extends DrainableConnection {
  readonly id: string;
  /** The pod whose listener accepted it. */
  readonly pod: PodUid;
  readonly record: ConnectionRecord;
  /** Absent on connections that no policy of this node rules. */
  readonly policy?: PolicyWatch | undefined;
  /** Ends both sides at once; the connection writes its own log line. */
  abort(reason: Reason, error: string): void;
}

export interface RegistryDeps {
  readonly state: MeshState;
  readonly clock: Clock;
  /** Milliseconds that an open connection waits for a policy that is named but not there, before it is closed. */
  readonly holdMs: number;
  /** Network of this ztunnel. */
  readonly network: string;
}

export class ConnectionRegistry {
  readonly #deps: RegistryDeps;
  readonly #connections = new Set<TrackedConnection>();
  readonly #drain: BindingDrain<TrackedConnection>;
  readonly #unsubscribe: () => void;

  constructor(deps: RegistryDeps) {
    this.#deps = deps;
    this.#drain = new BindingDrain(deps.clock, (connection) => this.#mustMove(connection));
    this.#unsubscribe = deps.state.subscribe((change) => this.#onChange(change));
  }

  get size(): number {
    return this.#connections.size;
  }

  track(connection: TrackedConnection): void {
    this.#connections.add(connection);
  }

  forget(connection: TrackedConnection): void {
    this.#connections.delete(connection);
    this.#drain.remove(connection);
  }

  ofPod(pod: PodUid): readonly TrackedConnection[] {
    return [...this.#connections].filter((c) => c.pod === pod);
  }

  abortPod(pod: PodUid, reason: Reason, error: string): void {
    for (const connection of this.ofPod(pod)) connection.abort(reason, error);
  }

  close(): void {
    this.#unsubscribe();
    this.#drain.stop();
  }

  #onChange(change: StateChange): void {
    const everything = change.policies.size > 0;
    for (const connection of this.#connections) {
      const { policy } = connection;
      if (policy === undefined) continue;
      if (everything || change.workloads.has(policy.workload)) this.#judge(connection, policy, false);
    }
    const bound = newlyBound(this.#deps.state, change);
    if (bound !== undefined) this.#drainBound(bound);
  }

  #drainBound(bound: NewlyBound): void {
    for (const connection of this.#connections) {
      if (touches(bound, connection.record) && this.#mustMove(connection)) this.#drain.add(connection);
    }
  }

  #mustMove({ record }: TrackedConnection): boolean {
    return mustMove(this.#deps.state, record, this.#deps.network);
  }

  #judge(connection: TrackedConnection, policy: PolicyWatch, isLastCall: boolean): void {
    const verdict = policy.verdict();
    if (verdict.kind === "allow" || !this.#connections.has(connection)) return;
    connection.record.trace = verdict.trace;
    if (verdict.kind === "deny" || isLastCall) {
      connection.abort(
        "policy-changed",
        `connection closed due to policy change: ${verdict.trace.explanation}`,
      );
    } else {
      this.#deps.clock.after(this.#deps.holdMs, () => this.#judge(connection, policy, true));
    }
  }
}
