/**
 * HOT PATH. Steps W4 and W5. One request from its head to its log line: carries its facts through the steps of `pipeline.ts`, then joins caller and upstream, byte by
 * byte with back-pressure, and ends once. What is decided about it is decided there; what is done is done here.
 */
import type { HttpFacts } from "#core/authz/request/request-facts.ts";
import type {
  ClientExchange,
  ClientFailure,
  ServerExchange,
  ServerExchangeEvents,
} from "#core/http/exchange.ts";
import type { HttpField, Refusal, RequestHead, ResponseHead } from "#core/http/message.ts";
import type { SpiffeId } from "#core/model/spiffe-id.ts";
import type { Workload } from "#core/model/workload.ts";
import type { Caller } from "../listener/caller.ts";
import { notJudged } from "../policy/verdict.ts";
import type { WaypointSnapshot } from "../policy/snapshot.ts";
import type { Endpoint } from "../upstream/endpoint.ts";
import { Attempt, type AttemptOwner } from "./attempt.ts";
import { type CallEnd, recordCall } from "./call-record.ts";
import { localReply } from "./local-reply.ts";
import type { OpenCall } from "./open-calls.ts";
import type { HttpProtocol } from "./engines.ts";
import type { Reason } from "./reasons.ts";
import { Replay } from "./replay.ts";
import { retryDelayMs, shouldRetry, type Trouble } from "./retry.ts";

/** What is decided about a call after its first steps; the pipeline's. */
export interface CallPlan {
  /** Another endpoint, with its decision. */
  nextEndpoint(call: Call): Reason | undefined;
  judgeAgain(call: Call, snapshot: WaypointSnapshot): Reason | undefined;
  protocol(call: Call): HttpProtocol;
}

export class Call implements ServerExchangeEvents, AttemptOwner, OpenCall {
  readonly caller: Caller;
  readonly exchange: ServerExchange;
  readonly startedMs: number;
  /** Policies that were in force for its connection when the request came. */
  readonly snapshot: WaypointSnapshot | undefined;
  readonly judgement = notJudged();
  /** What goes upstream; made by the steps. */
  head: RequestHead;
  /** What policies see; made by the steps. */
  http: HttpFacts | undefined;
  requestId = "";
  endpoint: Endpoint | undefined;
  readonly failedOn: Workload[] = [];
  attempts = 0;
  activity = 0;
  bytesReceived = 0;
  bytesSent = 0;
  status = 0;
  grpcStatus = "";
  answeredMs: number | undefined;
  readonly #plan: CallPlan;
  #attempt: Attempt | undefined;
  #replay: Replay | undefined;
  #isStarted = false;
  #requestEnded = false;
  #answerBegun = false;
  #answerEnded = false;
  #isTunnel = false;
  #isOver = false;
  #cancelTimer: () => void = noTimer;

  constructor(
    caller: Caller,
    exchange: ServerExchange,
    plan: CallPlan,
    snapshot: WaypointSnapshot | undefined,
  ) {
    const { context } = caller;
    this.caller = caller;
    this.exchange = exchange;
    this.#plan = plan;
    this.head = exchange.head;
    this.snapshot = snapshot;
    this.startedMs = context.deps.clock.monotonicMs();
    if (exchange.head.body.kind !== "none") this.#replay = new Replay();
    caller.openCalls++;
    context.calls.add(this);
  }

  get identity(): SpiffeId {
    return this.caller.identity;
  }

  get isOver(): boolean {
    return this.#isOver;
  }

  /** Answers itself; nothing went upstream, or nothing that counts. */
  refuse(reason: Reason, error?: string): void {
    if (this.#isOver) return;
    const answer = localReply(reason, this.exchange.head, closesAfter(reason));
    this.status = answer.status;
    this.grpcStatus = answer.fields.find(({ name }) => name === "grpc-status")?.value ?? "";
    this.#attempt?.abort(reason);
    this.exchange.reply(answer);
    this.#finish({ reason, error });
  }

  /** W4: to the endpoint that the steps found. */
  forward(): void {
    const { endpoint } = this;
    if (endpoint === undefined) return this.refuse("no-healthy-endpoint");
    const { limits, deps } = this.caller.context;
    if (limits.routeTimeoutMs > 0 && this.attempts === 0) {
      this.#cancelTimer = deps.clock.after(limits.routeTimeoutMs, () => this.end("timeout"));
    }
    this.attempts++;
    const lane = this.caller.lane(endpoint, this.#plan.protocol(this));
    this.#attempt = new Attempt(this, this.head);
    lane.take(this.#attempt);
    return undefined;
  }

  judgeAgain(snapshot: WaypointSnapshot): Reason | undefined {
    return this.#plan.judgeAgain(this, snapshot);
  }

  end(reason: Reason, error?: string): void {
    if (this.#isOver) return;
    if (!this.#answerBegun) return this.refuse(reason, error);
    this.#attempt?.abort(reason);
    this.exchange.abort(reason);
    this.#finish({ reason, error });
    return undefined;
  }

  // From the caller.

  onBody(bytes: Uint8Array): void {
    this.activity++;
    this.bytesReceived += bytes.length;
    this.#replay?.keep(bytes);
    const upstream = this.#attempt?.exchange;
    if (upstream === undefined || upstream.write(bytes) === "pause") this.exchange.pause();
  }

  onEnd(trailers: readonly HttpField[]): void {
    this.activity++;
    this.#requestEnded = true;
    this.#replay?.end(trailers);
    this.#attempt?.exchange?.end(trailers);
    if (this.#answerEnded) this.#finishAnswered();
  }

  onWritable(): void {
    this.activity++;
    this.#attempt?.exchange?.resume();
  }

  onAbort(reason: string, answered?: Refusal): void {
    if (this.#isOver) return;
    this.#attempt?.abort(reason);
    if (answered === undefined) this.#finish({ reason: "caller-gone", error: reason });
    else {
      this.status = answered.status;
      this.#finish({ reason: "bad-request", error: answered.reason });
    }
  }

  // From the upstream.

  onConnected(upstream: ClientExchange): void {
    this.activity++;
    if (!this.#isStarted) {
      this.#isStarted = true;
      this.exchange.start(this);
    } else if (this.#replay === undefined) {
      if (this.#requestEnded) upstream.end(NO_TRAILERS);
    } else if (this.#replay.sendTo(upstream) === "more") this.exchange.resume();
  }

  onNotConnected(reason: Reason, error: string): void {
    if (this.#isOver) return;
    this.#retryOr({ kind: "not-connected", reason }, () => this.refuse(reason, error));
  }

  onInterim(head: ResponseHead): void {
    this.activity++;
    this.exchange.sendInterim(head);
  }

  onAnswerHead(head: ResponseHead): void {
    this.activity++;
    this.answeredMs = this.caller.context.deps.clock.monotonicMs();
    this.status = head.status;
    this.#answerBegun = true;
    this.#isTunnel = head.body.kind === "tunnel";
    this.#replay = undefined;
    this.#noteGrpcStatus(head.fields);
    this.exchange.sendHead(head);
  }

  onAnswerBody(bytes: Uint8Array): void {
    this.activity++;
    this.bytesSent += bytes.length;
    if (this.exchange.write(bytes) === "pause") this.#attempt?.exchange?.pause();
  }

  onAnswerEnd(trailers: readonly HttpField[]): void {
    this.activity++;
    this.#answerEnded = true;
    this.#noteGrpcStatus(trailers);
    this.exchange.end(trailers);
    // Of a tunnel it is one direction.
    if (!this.#isTunnel || this.#requestEnded) this.#finishAnswered();
  }

  onUpstreamWritable(): void {
    this.activity++;
    this.exchange.resume();
  }

  onUpstreamFailure(failure: ClientFailure, wasUsed: boolean): void {
    const reason = failure.kind === "bad-answer" ? "bad-answer" : "upstream-lost";
    if (this.#answerBegun) {
      this.exchange.abort(failure.reason);
      this.#finish({ reason, error: failure.reason });
      return;
    }
    this.#retryOr({ kind: "failed", failure, wasUsed }, () => this.refuse(reason, failure.reason));
  }

  #retryOr(trouble: Trouble, giveUp: () => void): void {
    const isRepeatable = this.#replay === undefined || this.#replay.isWhole;
    const plan = isRepeatable ? shouldRetry(this, trouble) : "no";
    if (plan === "no") return giveUp();
    this.#attempt = undefined;
    if (this.#isStarted) this.exchange.pause();
    this.caller.context.metrics.retries++;
    if (plan === "elsewhere" && this.endpoint !== undefined) this.failedOn.push(this.endpoint.workload);
    const { clock } = this.caller.context.deps;
    const delayMs = retryDelayMs(this.attempts, plan, this.caller.context.deps.random());
    if (delayMs === 0) return this.#retry(giveUp);
    clock.after(delayMs, () => this.#retry(giveUp));
    return undefined;
  }

  /** The workload decision belongs to the endpoint: it is made again for the next one. */
  #retry(giveUp: () => void): void {
    if (this.#isOver) return;
    const reason = this.#plan.nextEndpoint(this);
    if (reason === undefined) this.forward();
    else if (reason === "no-healthy-endpoint") giveUp();
    else this.refuse(reason);
  }

  #noteGrpcStatus(fields: readonly HttpField[]): void {
    for (const { name, value } of fields) {
      // A label: whatever an application may send, there are few of them.
      if (name === "grpc-status" && /^(?:\d|1[0-6])$/.test(value)) this.grpcStatus = value;
    }
  }

  #finishAnswered(): void {
    // Answered before the request was complete: the rest of it is no use to the upstream.
    if (this.#requestEnded) this.#attempt?.finish();
    else this.#attempt?.abort("answered early");
    this.#finish({});
  }

  #finish(end: CallEnd): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#cancelTimer();
    this.#replay = undefined;
    this.caller.openCalls--;
    this.caller.context.calls.remove(this);
    recordCall(this, end);
  }
}

/** What is wrong with the caller's way of speaking, or with us, ends its connection; a refusal does not. */
function closesAfter(reason: Reason): boolean {
  return (
    reason === "bad-path" || reason === "too-many-requests" || reason === "draining" || reason === "not-bound"
  );
}

const NO_TRAILERS: readonly HttpField[] = [];
const noTimer = (): void => undefined;
