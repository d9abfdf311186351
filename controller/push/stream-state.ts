/**
 * What one client should be sent next. No I/O and no clock of its own: requests go in, at most one frame per type comes
 * out until it is acknowledged. Order across types: policies in, workloads, policies out.
 */
import type { DeltaRequest } from "#core/wire/xds-codec.ts";
import type { EncodedResource } from "../encoded-resource.ts";
import { onDemandAnswer } from "./on-demand.ts";
import { type PublishedState, RESOURCE_TYPES, type ResourceType } from "./published-state.ts";
import { encodeFrame, type FrameBody, frameBody, type FrameCache } from "./range-frame.ts";
import { TypeState } from "./type-state.ts";

export interface StreamOptions {
  /** Random per process: makes nonces of other processes and streams stale. */
  readonly epoch: string;
  readonly published: PublishedState;
  readonly frames: FrameCache;
  /** The client's node, for on-demand answers. */
  readonly node: string;
}

export interface OutgoingFrame {
  readonly type: ResourceType;
  readonly bytes: Uint8Array;
  readonly resourceCount: number;
}

export class StreamState {
  readonly types = new Map<ResourceType, TypeState>();
  readonly #options: StreamOptions;
  /** Addresses wait this long for the client to ask for policies as well. */
  #policyGraceOver = false;

  constructor(options: StreamOptions) {
    this.#options = options;
  }

  /** The client had its chance to ask for policies: addresses need not wait for that any more. */
  endPolicyGrace(): void {
    this.#policyGraceOver = true;
  }

  onRequest(
    type: ResourceType,
    request: DeltaRequest,
    nowMs: number,
  ): "first" | "ack" | "nack" | "stale" | "none" {
    const state = this.types.get(type);
    if (state !== undefined) return state.onRequest(request, nowMs);
    this.types.set(type, new TypeState(request));
    return "first";
  }

  /** The next frame that may be sent, marked as in flight; undefined when there is none. */
  next(nowMs: number): OutgoingFrame | undefined {
    for (const type of RESOURCE_TYPES) {
      const state = this.types.get(type);
      if (state === undefined || state.inFlight !== undefined) continue;
      const body = type === "authorization" ? this.#policies(state) : this.#others(type, state);
      if (body !== undefined) return this.#send(state, body, nowMs);
    }
    return undefined;
  }

  /** Whether a response has waited for its acknowledgement longer than `limitMs`. */
  isSilent(nowMs: number, limitMs: number): boolean {
    return [...this.types.values()].some(
      ({ inFlight }) => inFlight !== undefined && nowMs - inFlight.sentMs > limitMs,
    );
  }

  /** Bytes that are sent and not acknowledged. */
  bytesInFlight(): number {
    return [...this.types.values()].reduce((sum, { inFlight }) => sum + (inFlight?.bytes ?? 0), 0);
  }

  /** Whether the log still has everything this stream has not seen. */
  isBehindLog(): boolean {
    return [...this.types].some(
      ([type, state]) => !state.initialOwed && state.cursor < this.#options.published.logs[type].tail,
    );
  }

  #policies(state: TypeState): FrameBody | undefined {
    const { head } = this.#options.published.logs.authorization;
    const upserts = this.#changes("authorization", state);
    const removed = this.#deferRemovals(state, upserts?.removed ?? []);
    const due = this.#dueRemovals(state);
    const owed = state.initialOwed || state.answerOwed;
    state.cursor = head;
    state.initialOwed = false;
    state.answerOwed = false;
    const resources = upserts?.resources ?? [];
    const gone = [...removed, ...due].toSorted();
    if (!owed && resources.length === 0 && gone.length === 0) return undefined;
    return { ...(upserts ?? frameBody("authorization", [], [])), removed: gone };
  }

  #others(type: ResourceType, state: TypeState): FrameBody | undefined {
    if (type === "address" && !this.#policiesAreAhead()) return undefined;
    const { head } = this.#options.published.logs[type];
    const body = this.#changes(type, state);
    const owed = state.initialOwed || state.answerOwed;
    state.cursor = head;
    state.initialOwed = false;
    state.answerOwed = false;
    if (body !== undefined) return body;
    return owed ? frameBody(type, [], []) : undefined;
  }

  /** Policies first: everything published of them has been sent. */
  #policiesAreAhead(): boolean {
    const policies = this.types.get("authorization");
    if (policies === undefined) return this.#policyGraceOver;
    return !policies.initialOwed && policies.cursor === this.#options.published.logs.authorization.head;
  }

  /** Removals go out only after every workload that dropped the name; those that need not wait come back at once. */
  #deferRemovals(state: TypeState, removed: readonly string[]): readonly string[] {
    const addresses = this.types.get("address");
    const { head } = this.#options.published.logs.address;
    if (addresses === undefined) return removed;
    if (!addresses.initialOwed && addresses.cursor >= head) return removed;
    for (const name of removed) state.deferredRemovals.set(name, head);
    return [];
  }

  #dueRemovals(state: TypeState): readonly string[] {
    const addresses = this.types.get("address");
    const due: string[] = [];
    for (const [name, position] of state.deferredRemovals) {
      const ready = addresses === undefined || (!addresses.initialOwed && addresses.cursor >= position);
      if (!ready) continue;
      state.deferredRemovals.delete(name);
      if (this.#options.published.get("authorization", name) === undefined) due.push(name);
    }
    return due;
  }

  #changes(type: ResourceType, state: TypeState): FrameBody | undefined {
    const { published, frames, node } = this.#options;
    const { head } = published.logs[type];
    if (!state.subscription.wildcard) return onDemandAnswer(type, state, published, node);
    if (state.initialOwed) return this.#initial(type, state);
    if (state.cursor >= head) return undefined;
    return withoutRefused(frames.range(type, state.cursor, head), state);
  }

  /** Everything that the client does not hold in this very version, and the end of what it holds in vain. */
  #initial(type: ResourceType, state: TypeState): FrameBody {
    const { published, frames } = this.#options;
    const { held } = state;
    state.held = new Map();
    if (held.size === 0) return withoutRefused(frames.everything(type), state);
    const resources = [...published.all(type)].filter(({ name, version }) => held.get(name) !== version);
    const removed = [...held.keys()].filter((name) => published.get(type, name) === undefined);
    return withoutRefused(frameBody(type, resources, removed), state);
  }

  #send(state: TypeState, body: FrameBody, nowMs: number): OutgoingFrame {
    const { epoch, published } = this.#options;
    const nonce = `${epoch}-${body.type}-${++state.sequence}`;
    const systemVersion = `${epoch}/${published.logs[body.type].head}`;
    const bytes = encodeFrame(body, { nonce, systemVersion, removed: body.removed });
    state.inFlight = {
      nonce,
      sentMs: nowMs,
      resources: body.resources,
      removes: body.removed.length > 0,
      bytes: bytes.length,
    };
    state.sentNonce = nonce;
    state.lastChangeMs = nowMs;
    return { type: body.type, bytes, resourceCount: body.resources.length };
  }
}

/** The same body unless it holds something that this client has refused. */
function withoutRefused(body: FrameBody, state: TypeState): FrameBody {
  if (state.refused.size === 0) return body;
  const isRefused = ({ name, version }: EncodedResource): boolean => state.refused.get(name) === version;
  if (!body.resources.some(isRefused)) return body;
  return frameBody(
    body.type,
    body.resources.filter((resource) => !isRefused(resource)),
    body.removed,
  );
}
