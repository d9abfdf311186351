/**
 * The protocol of a delta xDS client without any I/O: what to say when a stream opens, when a response has been applied,
 * when a name is wanted. Deterministic. The state is changed in place, because a mesh of 100,000 names cannot be copied
 * for every push; nobody but this class holds a reference to it.
 *
 * Invariants: a version is reported only while it is in force here (a rejected one never is); every response gets exactly
 * one answer; a type counts as acknowledged only after a response without rejections.
 */
import type { DeltaRequest, DeltaResponse, XdsNode } from "../wire/xds-codec.ts";

export interface XdsSubscription {
  readonly typeUrl: string;
  readonly mode: "wildcard" | "on-demand";
}

/** A resource that could not be used: it alone is skipped, and the server is told. */
export interface XdsRejection {
  readonly name: string;
  readonly reason: string;
}

export interface AppliedResponse {
  /** ACK, or NACK with every rejection. */
  readonly answer: DeltaRequest;
  /** Names whose demand is settled: they, or their absence, have arrived. */
  readonly settled: readonly string[];
}

interface TypeState {
  readonly mode: "wildcard" | "on-demand";
  /** Version in force by name. */
  readonly held: Map<string, string>;
  /** On-demand names asked for since the start. */
  readonly wanted: Set<string>;
  /** Those of them about which something has arrived, be it their absence. */
  readonly answered: Set<string>;
  acknowledged: boolean;
}

const INVALID_ARGUMENT = 3;
/** A server logs and shows this text; it need not hold a thousand reasons. */
const MAX_ERROR_CHARS = 8_192;
const NO_VERSIONS: ReadonlyMap<string, string> = new Map();

export class DeltaState {
  readonly #types = new Map<string, TypeState>();

  constructor(subscriptions: readonly XdsSubscription[]) {
    for (const { typeUrl, mode } of subscriptions)
      this.#types.set(typeUrl, {
        mode,
        held: new Map(),
        wanted: new Set(),
        answered: new Set(),
        acknowledged: false,
      });
  }

  /** The first requests of a new stream, in the order of the subscriptions: what is wanted and what is held. */
  connected(node: XdsNode): readonly DeltaRequest[] {
    return [...this.#types].map(([typeUrl, type]) => ({
      ...emptyRequest(typeUrl),
      node,
      // "*" taken and given back in one message means "nothing but what I name".
      subscribe: type.mode === "wildcard" ? [] : ["*", ...type.wanted],
      unsubscribe: type.mode === "wildcard" ? [] : ["*"],
      initialResourceVersions: new Map(type.held),
    }));
  }

  /** The response is in force here, but for the rejected resources. */
  applied(response: DeltaResponse, rejections: readonly XdsRejection[]): AppliedResponse {
    const type = this.#types.get(response.typeUrl);
    const answer = { ...emptyRequest(response.typeUrl), responseNonce: response.nonce };
    const settled = type === undefined ? [] : record(type, response, rejections);
    if (rejections.length > 0) return { answer: { ...answer, error: errorOf(rejections) }, settled };
    if (type !== undefined) type.acknowledged = true;
    return { answer, settled };
  }

  /** A name is wanted. The request to send on an open stream; undefined when it has been asked for before. */
  demand(typeUrl: string, name: string): DeltaRequest | undefined {
    const type = this.#types.get(typeUrl);
    if (type === undefined || type.mode === "wildcard" || type.wanted.has(name)) return undefined;
    type.wanted.add(name);
    return { ...emptyRequest(typeUrl), subscribe: [name] };
  }

  /** Whether a demand needs no waiting: the name has been answered, or everything has, or nothing ever will. */
  isAnswered(typeUrl: string, name: string): boolean {
    const type = this.#types.get(typeUrl);
    if (type === undefined) return true;
    return type.mode === "wildcard" ? type.acknowledged : type.answered.has(name);
  }

  /** Types of which at least one response has been acknowledged. */
  acknowledged(): readonly string[] {
    return [...this.#types].filter(([, type]) => type.acknowledged).map(([typeUrl]) => typeUrl);
  }

  /** Whether every wildcard type has been acknowledged. */
  isReady(): boolean {
    return [...this.#types.values()].every((type) => type.acknowledged || type.mode === "on-demand");
  }

  /** Versions in force; for dumps and tests. */
  held(typeUrl: string): ReadonlyMap<string, string> {
    return this.#types.get(typeUrl)?.held ?? NO_VERSIONS;
  }
}

/** Notes what is in force now; the wanted names that this settles. */
function record(
  type: TypeState,
  response: DeltaResponse,
  rejections: readonly XdsRejection[],
): readonly string[] {
  const rejected = new Set(rejections.map((rejection) => rejection.name));
  for (const { name, version } of response.resources) if (!rejected.has(name)) type.held.set(name, version);
  for (const name of response.removed) type.held.delete(name);
  if (type.wanted.size === 0) return [];
  const settled = namesOf(response).filter((name) => type.wanted.has(name));
  for (const name of settled) type.answered.add(name);
  return settled;
}

/** Aliases count: a demand may be by address and its answer by name. */
function namesOf(response: DeltaResponse): readonly string[] {
  return [
    ...response.resources.flatMap((resource) => [resource.name, ...resource.aliases]),
    ...response.removed,
  ];
}

function errorOf(rejections: readonly XdsRejection[]): NonNullable<DeltaRequest["error"]> {
  const message = rejections.map(({ name, reason }) => `${name}: ${reason}`).join("; ");
  return { code: INVALID_ARGUMENT, message: message.slice(0, MAX_ERROR_CHARS) };
}

function emptyRequest(typeUrl: string): DeltaRequest {
  return {
    node: undefined,
    typeUrl,
    subscribe: [],
    unsubscribe: [],
    initialResourceVersions: NO_VERSIONS,
    responseNonce: "",
    error: undefined,
  };
}
