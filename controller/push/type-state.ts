/** One type on one stream: what is subscribed, how far it has been served, what is in flight. No I/O. */
import type { DeltaRequest } from "#core/wire/xds-codec.ts";
import type { EncodedResource } from "../encoded-resource.ts";
import { blamedResources } from "./nack.ts";
import { firstSubscription, nextSubscription, type Subscription } from "./subscription.ts";

interface InFlight {
  readonly nonce: string;
  readonly sentMs: number;
  readonly resources: readonly EncodedResource[];
  readonly removes: boolean;
  readonly bytes: number;
}

export class TypeState {
  subscription: Subscription;
  /** Position in the change log up to which everything has been sent. */
  cursor = 0;
  /** The first answer (to this stream, or after a change to wildcard) is still to come. */
  initialOwed = true;
  /** What the client held when it connected; kept until the first answer. */
  held: ReadonlyMap<string, string>;
  /** Asked-for keys that wait for their answer. */
  readonly asked = new Set<string>();
  /** Every on-demand request is answered, even if with nothing. */
  answerOwed = false;
  /** Removals that wait until the other type has caught up: name to the position it must reach. */
  readonly deferredRemovals = new Map<string, number>();
  inFlight: InFlight | undefined;
  sequence = 0;
  sentNonce = "";
  ackedNonce = "";
  lastNack = "";
  /** What the last NACK blamed. */
  lastBlamed: readonly EncodedResource[] = [];
  lastChangeMs = 0;
  /** Versions the client has refused: never sent again on this stream. */
  readonly refused = new Map<string, string>();
  #acknowledgedTo = 0;

  constructor(first: DeltaRequest) {
    this.subscription = firstSubscription(first);
    this.held = first.initialResourceVersions;
    this.answerOwed = true;
    for (const name of this.subscription.names) this.asked.add(name);
  }

  /**
   * Position in the change log up to which the client has said that everything is in force; undefined before its first answer.
   * The cursor does not move while a response is in flight.
   */
  get acknowledged(): number | undefined {
    if (this.initialOwed) return undefined;
    return this.inFlight === undefined && this.lastNack === "" ? this.cursor : this.#acknowledgedTo;
  }

  /** Takes one later request. True when it answered what was in flight. */
  onRequest(request: DeltaRequest, nowMs: number): "ack" | "nack" | "stale" | "none" {
    const outcome = this.#answer(request, nowMs);
    const next = nextSubscription(this.subscription, request);
    if (next !== this.subscription) this.#resubscribe(next, request);
    return outcome;
  }

  #answer(request: DeltaRequest, nowMs: number): "ack" | "nack" | "stale" | "none" {
    if (request.responseNonce === "") return "none";
    if (this.inFlight?.nonce !== request.responseNonce) return "stale";
    const { resources } = this.inFlight;
    this.inFlight = undefined;
    this.lastChangeMs = nowMs;
    if (request.error === undefined) {
      this.ackedNonce = request.responseNonce;
      this.#acknowledgedTo = this.cursor;
      this.lastNack = "";
      return "ack";
    }
    this.lastNack = request.error.message.slice(0, 4_096) || "refused without a reason";
    this.lastBlamed = blamedResources(request.error.message, resources);
    for (const { name, version } of this.lastBlamed) this.refused.set(name, version);
    return "nack";
  }

  #resubscribe(next: Subscription, request: DeltaRequest): void {
    if (next.wildcard && !this.subscription.wildcard) this.initialOwed = true;
    if (!next.wildcard) {
      for (const name of request.subscribe) if (name !== "*" && next.names.has(name)) this.asked.add(name);
      this.answerOwed = true;
    }
    this.subscription = next;
  }
}
