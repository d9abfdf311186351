/**
 * A caller's connection that is not HTTP: judged as a connection, by the same policies, then relayed. It is judged again whenever the configuration
 * changes.
 */
import { evaluateUndeclaredHttp } from "#core/authz/request/evaluate-request.ts";
import type { Handle } from "#core/handle/handle.ts";
import { HttpRefusingHandle } from "#core/handle/http-refusing-handle.ts";
import { type Relay, relayPlain, type RelayResult } from "#core/hbone/relay.ts";
import type { SpiffeId } from "#core/model/spiffe-id.ts";
import { describeError } from "#core/runtime/errors.ts";
import { spawn } from "#core/runtime/spawn.ts";
import type { OpenCall } from "../http/open-calls.ts";
import { type Reason, reasonFacts } from "../http/reasons.ts";
import { authorizeDestination, authorizeEndpoint, policiesOf, type Question } from "../policy/authorize.ts";
import type { WaypointSnapshot } from "../policy/snapshot.ts";
import { type Judgement, notJudged } from "../policy/verdict.ts";
import type { RequestSubject } from "../report/request-metrics.ts";
import { dialReason } from "../upstream/dial-reason.ts";
import { searchEndpoint } from "../upstream/search-endpoint.ts";
import type { Endpoint } from "../upstream/endpoint.ts";
import type { Caller } from "./caller.ts";
import type { CallerConnection } from "./caller-connection.ts";
import { recordConnection } from "./connection-record.ts";
import type { DestinationRoute } from "./target-route.ts";

export class RelayCall implements OpenCall, CallerConnection {
  readonly #caller: Caller;
  readonly #downstream: Handle;
  readonly #startedMs: number;
  readonly #judgement = notJudged();
  #endpoint: Endpoint | undefined;
  #relay: Relay | undefined;
  #reason: Reason | undefined;
  #isOver = false;

  /** Takes over the handle, which was not started. */
  constructor(caller: Caller, downstream: Handle) {
    const { context } = caller;
    this.#caller = caller;
    this.#downstream = downstream;
    this.#startedMs = context.deps.clock.monotonicMs();
    context.calls.add(this);
    context.connections.add(this);
    context.metrics.connections.opened(this.#subject());
    const snapshot = caller.policies();
    const reason = snapshot === undefined ? "no-configuration" : this.#decide(snapshot);
    if (reason !== undefined || snapshot === undefined) this.end(reason ?? "no-configuration");
    else spawn(context.deps.log, "relay", () => this.#connect(snapshot));
  }

  get identity(): SpiffeId {
    return this.#caller.identity;
  }

  get route(): DestinationRoute {
    return this.#caller.route;
  }

  get activity(): number {
    return this.#relay === undefined ? 0 : this.#relay.bytesSent + this.#relay.bytesReceived;
  }

  judgeAgain(snapshot: WaypointSnapshot): Reason | undefined {
    const judgement = notJudged();
    const reason = this.#authorize(this.#question(snapshot, judgement));
    if (reason === undefined || reason === "not-bound") return undefined;
    this.#judgement.decision = judgement.decision;
    return reason;
  }

  /** It lasts as long as both sides want: nothing in it tells a caller to go elsewhere. */
  drain(): void {}

  end(reason: Reason, error?: string): void {
    if (this.#isOver) return;
    this.#reason ??= reason;
    if (this.#relay !== undefined) {
      this.#relay.abort(reason);
      return;
    }
    this.#downstream.reset();
    this.#finish(0, 0, error);
  }

  #decide(snapshot: WaypointSnapshot): Reason | undefined {
    const caller = this.#caller;
    if (caller.context.calls.isTooMany(this)) return "too-many-requests";
    const question = this.#question(snapshot, this.#judgement);
    const denied = authorizeDestination(question);
    if (denied !== undefined) return denied;
    const outcome = searchEndpoint(caller, snapshot, []);
    if (outcome.kind === "none") return outcome.reason;
    this.#endpoint = outcome.endpoint;
    return authorizeEndpoint(question, outcome.endpoint);
  }

  #authorize(question: Question): Reason | undefined {
    const endpoint = this.#endpoint;
    return (
      authorizeDestination(question) ??
      (endpoint === undefined ? undefined : authorizeEndpoint(question, endpoint))
    );
  }

  #question(snapshot: WaypointSnapshot, judgement: Judgement): Question {
    return { caller: this.#caller, snapshot, http: undefined, judgement };
  }

  async #connect(snapshot: WaypointSnapshot): Promise<void> {
    const endpoint = this.#endpoint;
    if (endpoint === undefined) return this.end("no-healthy-endpoint");
    let upstream: Handle;
    try {
      upstream = await this.#caller.context.upstreams.connect(endpoint, this.identity);
    } catch (error) {
      return this.end(dialReason(error), describeError(error));
    }
    if (this.#isOver) return upstream.reset();
    const relay = relayPlain(this.#downstream, this.#refusingHttp(upstream, snapshot));
    this.#relay = relay;
    relay.whenDone((result) => this.#onRelayed(result));
    return undefined;
  }

  /** Where a policy denies nothing but HTTP, first bytes are looked at. */
  #refusingHttp(upstream: Handle, snapshot: WaypointSnapshot): Handle {
    const sets = policiesOf(this.#caller, snapshot, this.#endpoint);
    const denial = sets.map(evaluateUndeclaredHttp).find((decision) => decision !== undefined);
    if (denial === undefined) return upstream;
    const { deps, limits } = this.#caller.context;
    return new HttpRefusingHandle(upstream, {
      clock: deps.clock,
      firstBytesMs: limits.firstBytesMs,
      onHttp: () => {
        this.#judgement.decision = denial;
        this.end("http-on-tcp-port");
      },
    });
  }

  #onRelayed({ bytesSent, bytesReceived, end, error }: RelayResult): void {
    if (end !== "clean") this.#reason ??= end === "reset-by-app" ? "caller-gone" : "upstream-lost";
    this.#finish(bytesSent, bytesReceived, error === undefined ? undefined : describeError(error));
  }

  #finish(sent: number, received: number, error: string | undefined): void {
    if (this.#isOver) return;
    this.#isOver = true;
    const { context } = this.#caller;
    const reason = this.#reason;
    context.calls.remove(this);
    context.connections.delete(this);
    const flag = reason === undefined ? "-" : reasonFacts(reason).flag;
    context.metrics.connections.closed(this.#subject(), { flag, sent, received });
    recordConnection(this.#caller, {
      reason,
      error,
      startedMs: this.#startedMs,
      endpoint: this.#endpoint,
      judgement: this.#judgement,
      bytesReceived: sent,
      bytesSent: received,
    });
  }

  #subject(): RequestSubject {
    const { party, identity, route } = this.#caller;
    return {
      source: party,
      sourceIdentity: identity,
      destination: this.#endpoint?.workload,
      destinationIdentity: this.#endpoint?.identity,
      service: route.kind === "service" ? route.service : undefined,
    };
  }
}
