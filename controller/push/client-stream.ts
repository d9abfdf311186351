/**
 * One client from its first message to its end: checks who it is, hears its requests, sends what `StreamState` says.
 * Nothing is read before the caller is authenticated and admitted.
 */
import { status } from "@grpc/grpc-js";
import type { Clock } from "#core/base/clock.ts";
import { TYPE_URL_WAYPOINT } from "#core/model/waypoint.ts";
import { TYPE_URL_ADDRESS, TYPE_URL_AUTHORIZATION } from "#core/model/well-known.ts";
import type { Logger } from "#core/runtime/log.ts";
import { decodeDeltaRequest, type DeltaRequest } from "#core/wire/xds-codec.ts";
import type { Caller } from "../ca/caller-identity.ts";
import type { EncodedResource } from "../encoded-resource.ts";
import type { Admission } from "./admission.ts";
import { checkClient, type ClientFacts } from "./client-auth.ts";
import { type ClientNode, parseClientNode } from "./node-id.ts";
import type { PublishedState, ResourceType } from "./published-state.ts";
import type { FrameCache } from "./range-frame.ts";
import { StreamState } from "./stream-state.ts";
import { firstSubscription, nextSubscription } from "./subscription.ts";
import type { XdsTransport } from "./transport.ts";

export interface ClientStreamDeps {
  readonly epoch: string;
  readonly published: PublishedState;
  readonly frames: FrameCache;
  readonly admission: Admission;
  readonly clock: Clock;
  readonly log: Logger;
  readonly clients: ClientFacts;
  readonly metrics: PushCounters;
  /** A client cannot use these; `reason` is its own text. */
  readonly onRefused: (blamed: readonly EncodedResource[], reason: string) => void;
  /** The client has acknowledged something. */
  readonly onProgress: () => void;
  /** Whom this replica may send anything. */
  readonly audience: () => Audience;
}

/** `present`: clients that have had their first answers here. */
export type Audience = "everybody" | "present" | "nobody";

export interface PushCounters {
  pushed(type: ResourceType, resources: number, bytes: number): void;
  nacked(type: ResourceType): void;
}

const TYPES: ReadonlyMap<string, ResourceType> = new Map([
  [TYPE_URL_ADDRESS, "address"],
  [TYPE_URL_AUTHORIZATION, "authorization"],
  [TYPE_URL_WAYPOINT, "waypoint"],
]);
/** How long addresses wait for a client that has not asked for policies. */
const POLICY_GRACE_MS = 1_000;
const SILENCE_LIMIT_MS = 60_000;

export class ClientStream {
  readonly caller: Caller;
  readonly connectedMs: number;
  readonly #deps: ClientStreamDeps;
  readonly #transport: XdsTransport;
  readonly #onGone: () => void;
  #log: Logger;
  #client: ClientNode | undefined;
  #waypoint: string | undefined;
  #state: StreamState | undefined;
  #accounted = 0;
  #ended = false;
  #cancelGrace: () => void = () => undefined;

  constructor(transport: XdsTransport, caller: Caller, deps: ClientStreamDeps, onGone: () => void) {
    this.caller = caller;
    this.connectedMs = deps.clock.nowMs();
    this.#transport = transport;
    this.#deps = deps;
    this.#onGone = onGone;
    this.#log = deps.log.child("xds", {
      client: `${caller.namespace}/${caller.podName}`,
      node: caller.nodeName,
    });
  }

  get client(): ClientNode | undefined {
    return this.#client;
  }

  /** `namespace/gateway` of a waypoint. */
  get waypoint(): string | undefined {
    return this.#waypoint;
  }

  get state(): StreamState | undefined {
    return this.#state;
  }

  start(): void {
    this.#transport.start({ onMessage: (bytes) => this.#message(bytes), onEnd: () => this.#gone() });
  }

  /** Sends what may be sent. Called after every publication and every request. */
  pump(): void {
    const { admission, clock, metrics } = this.#deps;
    while (!this.#ended && this.#state !== undefined && admission.hasRoom() && this.#isServed()) {
      const frame = this.#state.next(clock.monotonicMs());
      if (frame === undefined) break;
      this.#transport.write(frame.bytes);
      metrics.pushed(frame.type, frame.resourceCount, frame.bytes.length);
      this.#account();
    }
  }

  #isServed(): boolean {
    const audience = this.#deps.audience();
    if (audience !== "present") return audience === "everybody";
    return [...(this.#state?.types.values() ?? [])].every(({ initialOwed }) => !initialOwed);
  }

  /** Ends streams that no longer acknowledge, or have fallen behind what the log still has. */
  sweep(): void {
    if (this.#state === undefined) return;
    if (this.#state.isSilent(this.#deps.clock.monotonicMs(), SILENCE_LIMIT_MS)) {
      this.close(status.DEADLINE_EXCEEDED, "no acknowledgement");
    } else if (this.#state.isBehindLog()) {
      this.close(status.ABORTED, "too far behind, connect again");
    }
  }

  close(code: number, message: string): void {
    this.#log.info({ code, why: message }, "stream closed");
    this.#transport.close(code, message);
    this.#gone();
  }

  #message(bytes: Uint8Array): void {
    const request = decodeDeltaRequest(bytes);
    if (!request.ok) {
      this.close(status.INVALID_ARGUMENT, `malformed request: ${request.problems[0]?.message ?? ""}`);
      return;
    }
    if (this.#state === undefined && !this.#introduce(request.value)) return;
    const type = TYPES.get(request.value.typeUrl);
    if (type === undefined) {
      this.#log.debug({ type_url: request.value.typeUrl.slice(0, 200) }, "unknown type");
      return;
    }
    if (type === "waypoint" && !this.#isOwn(request.value)) return;
    this.#hear(type, request.value);
    this.pump();
  }

  /** A waypoint's configuration is for its own pods: it holds the policies of its namespace. Nobody has them all. */
  #isOwn(request: DeltaRequest): boolean {
    const current = this.#state?.types.get("waypoint")?.subscription;
    const next = current === undefined ? firstSubscription(request) : nextSubscription(current, request);
    const own = this.#waypoint;
    if (own !== undefined && !next.wildcard && [...next.names].every((name) => name === own)) return true;
    this.#log.warn({ names: [...next.names].slice(0, 10), own }, "client refused: not its own configuration");
    this.close(status.PERMISSION_DENIED, "refused, see the controller's log");
    return false;
  }

  #hear(type: ResourceType, request: DeltaRequest): void {
    const outcome = this.#state?.onRequest(type, request, this.#deps.clock.monotonicMs());
    if (outcome === "nack") {
      this.#deps.metrics.nacked(type);
      const state = this.#state?.types.get(type);
      if (state !== undefined) this.#deps.onRefused(state.lastBlamed, state.lastNack);
      this.#log.warn({ type, reason: request.error?.message.slice(0, 1_000) }, "response refused by client");
    }
    this.#account();
    if (outcome === "ack") this.#deps.onProgress();
  }

  /** The first message says who the client is; anything but the truth ends the stream. */
  #introduce(request: DeltaRequest): boolean {
    const client = parseClientNode(request.node);
    if (!client.ok) {
      const [first] = client.problems;
      this.close(status.INVALID_ARGUMENT, `${first?.path ?? ""} ${first?.message ?? ""}`);
      return false;
    }
    const verdict = checkClient(this.caller, client.value, this.#deps.clients);
    if (verdict.kind === "refused") {
      this.#log.warn({ why: verdict.why }, "client refused");
      const code = verdict.retry ? status.UNAVAILABLE : status.PERMISSION_DENIED;
      this.close(code, "refused, see the controller's log");
      return false;
    }
    this.#waypoint = verdict.waypoint;
    const { epoch, published, frames, clock } = this.#deps;
    this.#client = client.value;
    const state = new StreamState({ epoch, published, frames, node: this.caller.nodeName });
    this.#state = state;
    // A waypoint gets its policies with its configuration.
    if (verdict.waypoint !== undefined) state.endPolicyGrace();
    this.#cancelGrace = clock.after(POLICY_GRACE_MS, () => {
      state.endPolicyGrace();
      this.pump();
    });
    this.#log.info({ version: client.value.version }, "client connected");
    return true;
  }

  #account(): void {
    const bytes = this.#ended ? 0 : (this.#state?.bytesInFlight() ?? 0);
    this.#deps.admission.account(this.#accounted, bytes);
    this.#accounted = bytes;
  }

  #gone(): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#cancelGrace();
    this.#account();
    this.#onGone();
  }
}
