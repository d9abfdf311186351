/**
 * An application on a port that counts as TCP, of a pod for which a policy denies HTTP by conditions on requests alone: what begins like HTTP does
 * not reach it. Its own bytes pass meanwhile, so that it may speak first.
 */
import type { Clock } from "#core/base/clock.ts";
import type { Handle, WriteResult } from "#core/handle/handle.ts";
import { WrappedHandle } from "#core/handle/wrapped-handle.ts";
import { readFirstBytes } from "#core/http/first-bytes.ts";
import type { PolicyKey } from "#core/model/ids.ts";
import { httpDenierOf } from "#core/model/waypoint.ts";
import type { Workload } from "#core/model/workload.ts";
import { isDeclaredTcp } from "#core/state/declared-ports.ts";
import type { ActiveConnection } from "./active-connection.ts";
import type { PodContext } from "./proxy-deps.ts";

/** What has begun and may still become HTTP waits so long for its rest. */
const FIRST_BYTES_MS = 10_000;

/** The application as callers may write to it; `upstream` itself where nothing is to be looked at. */
export function refusingHttp(
  { deps }: PodContext,
  active: Pick<ActiveConnection, "abort">,
  upstream: Handle,
  { workload, port }: { readonly workload: Workload; readonly port: number },
): Handle {
  // As it is now: a policy may have come while the application was dialled.
  const current = deps.state.workloads.get(workload.uid) ?? workload;
  const denier = denierOf(current);
  if (denier === undefined || !isDeclaredTcp(deps.state, current, port)) return upstream;
  return new RefusingHttp(upstream, deps.clock, () =>
    active.abort("http-on-tcp-port", `policy ${denier} denies HTTP requests, and port ${port} counts as TCP`),
  );
}

/** Names have the workload's namespace in front. */
function denierOf({ authorizationPolicies }: Workload): PolicyKey | undefined {
  for (const key of authorizationPolicies) {
    const denier = httpDenierOf(key.slice(key.indexOf("/") + 1));
    if (denier !== undefined) return denier;
  }
  return undefined;
}

export class RefusingHttp extends WrappedHandle {
  readonly #clock: Clock;
  readonly #onHttp: () => void;
  #kept: Buffer = Buffer.alloc(0);
  #verdict: "open" | "passing" | "refused" = "open";
  #cancelTimer: () => void = noTimer;

  /** `onHttp` is to reset the connection. */
  constructor(application: Handle, clock: Clock, onHttp: () => void) {
    super(application);
    this.#clock = clock;
    this.#onHttp = onHttp;
  }

  override write(bytes: Uint8Array): WriteResult {
    return this.#verdict === "passing" ? super.write(bytes) : this.#look([bytes]);
  }

  override writev(pieces: readonly Uint8Array[]): WriteResult {
    return this.#verdict === "passing" ? super.writev(pieces) : this.#look(pieces);
  }

  override shutdown(): void {
    // What may have become HTTP and ended is none.
    if (this.#verdict === "open") this.#pass();
    super.shutdown();
  }

  override reset(): void {
    this.#cancelTimer();
    super.reset();
  }

  #look(pieces: readonly Uint8Array[]): WriteResult {
    if (this.closed || this.#verdict === "refused") return "closed";
    this.#kept = Buffer.concat([this.#kept, ...pieces]);
    const verdict = readFirstBytes(this.#kept);
    if (verdict === "other" || verdict === "tls") return this.#pass();
    if (verdict !== "more") this.#refuse();
    else if (this.#cancelTimer === noTimer) {
      this.#cancelTimer = this.#clock.after(FIRST_BYTES_MS, () => this.#refuse());
    }
    return "sent";
  }

  #pass(): WriteResult {
    this.#cancelTimer();
    this.#verdict = "passing";
    const kept = this.#kept;
    this.#kept = Buffer.alloc(0);
    return kept.length > 0 ? super.write(kept) : "sent";
  }

  #refuse(): void {
    if (this.#verdict !== "open" || this.closed) return;
    this.#verdict = "refused";
    this.#cancelTimer();
    this.#onHttp();
  }
}

const noTimer = (): void => undefined;
