/**
 * All xDS clients: authenticates and admits new streams, pushes after every publication, ends streams whose pod or
 * token has ended. One stream per pod: the newest wins.
 */
import { randomBytes } from "node:crypto";
import { status } from "@grpc/grpc-js";
import type { Clock } from "#core/base/clock.ts";
import { spawn } from "#core/runtime/spawn.ts";
import type { Logger } from "#core/runtime/log.ts";
import type { Authenticator, Caller } from "../ca/caller-identity.ts";
import type { Admission } from "./admission.ts";
import type { ClientFacts } from "./client-auth.ts";
import { ClientStream, type ClientStreamDeps, type PushCounters } from "./client-stream.ts";
import { type PublishedState, RESOURCE_TYPES } from "./published-state.ts";
import { FrameCache } from "./range-frame.ts";
import type { XdsTransport } from "./transport.ts";

export interface DeltaServerDeps {
  readonly authenticator: Authenticator;
  readonly published: PublishedState;
  readonly admission: Admission;
  readonly clock: Clock;
  readonly log: Logger;
  readonly clients: ClientFacts;
  readonly metrics: PushCounters;
  readonly onRefused: ClientStreamDeps["onRefused"];
  /** A client has acknowledged something, come or gone. */
  readonly onProgress: () => void;
  /** False until every input is complete: a half-filled first answer would delete. */
  readonly isReady: () => boolean;
  readonly audience: ClientStreamDeps["audience"];
}

const LOG_LIMIT = 1_000_000;
/** Streams of one controller that ends are closed over this time, so that clients do not return at once. */
const DRAIN_MS = 10_000;

const REFUSALS = {
  unauthenticated: status.UNAUTHENTICATED,
  unavailable: status.UNAVAILABLE,
  "too-many": status.RESOURCE_EXHAUSTED,
} as const;

export class DeltaServer {
  readonly #deps: DeltaServerDeps;
  readonly #frames: FrameCache;
  readonly #epoch = randomBytes(6).toString("hex");
  readonly #streams = new Map<string, ClientStream>();
  #draining = false;

  constructor(deps: DeltaServerDeps) {
    this.#deps = deps;
    this.#frames = new FrameCache(deps.published);
  }

  get streams(): readonly ClientStream[] {
    return [...this.#streams.values()];
  }

  /** A new stream. Returns at once. */
  accept(transport: XdsTransport): void {
    spawn(this.#deps.log, "xds-accept", () => this.#accept(transport));
  }

  /** Something was published. */
  push(): void {
    for (const stream of this.#streams.values()) stream.pump();
    for (const type of RESOURCE_TYPES) {
      const positions = this.streams.flatMap((stream) => {
        const state = stream.state?.types.get(type);
        return state === undefined || state.initialOwed ? [] : [state.cursor];
      });
      const log = this.#deps.published.logs[type];
      log.trim(Math.min(log.head, ...positions), LOG_LIMIT);
    }
  }

  /** Once a second or so: ends what must end, and serves those who waited for room. */
  sweep(): void {
    for (const stream of this.#streams.values()) {
      const verdict = this.#deps.authenticator.recheck(stream.caller);
      if (verdict.kind === "refused") stream.close(REFUSALS[verdict.code], verdict.why);
      else stream.sweep();
      stream.pump();
    }
  }

  /** Ends all streams in random order over ten seconds; `immediately` for tests. */
  async drain(immediately = false): Promise<void> {
    this.#draining = true;
    await this.closeAll("the controller is stopping", immediately);
  }

  /** Ends all streams as they are now: clients find another replica, or this one when it serves again. */
  async closeAll(why: string, immediately = false): Promise<void> {
    const streams = this.streams.toSorted(() => Math.random() - 0.5);
    const pauseMs = immediately || streams.length === 0 ? 0 : Math.min(200, DRAIN_MS / streams.length);
    for (const stream of streams) {
      stream.close(status.UNAVAILABLE, why);
      if (pauseMs > 0) await this.#deps.clock.sleep(pauseMs);
    }
  }

  async #accept(transport: XdsTransport): Promise<void> {
    const { authenticator, admission, clock, log, isReady, audience } = this.#deps;
    if (!isReady() || audience() !== "everybody" || this.#draining) {
      transport.close(status.UNAVAILABLE, "not ready");
      return;
    }
    const authentication = await authenticator.authenticate(transport.credentials);
    if (authentication.kind === "refused") {
      log.warn({ peer: transport.credentials.peer, why: authentication.why }, "xds client refused");
      transport.close(REFUSALS[authentication.code], "refused, see the controller's log");
      return;
    }
    const delayMs = admission.delayForNewStream(clock.monotonicMs());
    if (delayMs > 0) await clock.sleep(delayMs);
    this.#add(transport, authentication.caller);
  }

  #add(transport: XdsTransport, caller: Caller): void {
    const { podUid } = caller;
    const stream = new ClientStream(transport, caller, this.#streamDeps(), () => {
      if (this.#streams.get(podUid) === stream) this.#streams.delete(podUid);
      this.#deps.onProgress();
    });
    this.#streams.get(podUid)?.close(status.ABORTED, "a newer stream of this pod took over");
    this.#streams.set(podUid, stream);
    stream.start();
  }

  #streamDeps(): ClientStreamDeps {
    return { ...this.#deps, epoch: this.#epoch, frames: this.#frames };
  }
}
