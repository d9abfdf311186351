/**
 * Step O9. Tunnels, shared by the connections of one source pod to one destination, never by two source pods: the
 * destination takes the source address from the tunnel.
 */
import { type Clock, systemClock } from "../base/clock.ts";
import type { HandleBackend } from "../handle/handle-backend.ts";
import type { ReceiveBudget } from "../http2/flow-control.ts";
import type { SessionLimits } from "../http2/session-options.ts";
import type { SpiffeId } from "../model/spiffe-id.ts";
import type { IpAddress } from "../net/ip.ts";
import { formatSocketAddress, type SocketAddress } from "../net/socket-address.ts";
import { ClientStream, type HboneClientStream, type OpenedOn } from "./client-stream.ts";
import { connectHeaders, type ConnectRequest } from "./connect-request.ts";
import { closedByPolicy } from "./hbone-errors.ts";
import { PoolEntry } from "./pool-entry.ts";
import { type HboneDialDeps, openTunnel, type Tunnel } from "./tunnel.ts";

export type { HboneClientStream } from "./client-stream.ts";
export type { HboneCredentials, HboneDialDeps } from "./tunnel.ts";

export interface HbonePoolKey {
  readonly sourceIdentity: SpiffeId;
  readonly sourceIp: IpAddress;
  /** In order; empty always fails. */
  readonly expectedIdentities: readonly SpiffeId[];
  /** Address of the peer's HBONE port. */
  readonly destination: SocketAddress;
}

export interface HbonePoolOptions {
  readonly backend: HandleBackend;
  readonly clock?: Clock;
  readonly budget?: ReceiveBudget;
  readonly limits?: SessionLimits;
  /** TCP, TLS and the peer's SETTINGS together. Default 10 s. */
  readonly dialTimeoutMs?: number;
  /** From the CONNECT to its answer. Default 10 s. */
  readonly answerTimeoutMs?: number;
  /** Default 5 min. */
  readonly idleReleaseMs?: number;
}

const TEN_SECONDS_MS = 10_000;
const FIVE_MINUTES_MS = 300_000;

interface KeyedEntry {
  readonly key: HbonePoolKey;
  readonly entry: PoolEntry;
}

/** One tunnel, for reports. */
export interface TunnelReport {
  readonly key: HbonePoolKey;
  readonly streams: number;
  readonly serial: string;
  readonly peerIdentity: SpiffeId;
}

export class HbonePool {
  readonly #options: HbonePoolOptions;
  readonly #clock: Clock;
  readonly #entries: Map<string, KeyedEntry> = new Map();
  #closed = false;

  constructor(options: HbonePoolOptions) {
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
  }

  /**
   * Resolves once the CONNECT was sent on a tunnel that is up; its answer shows in the stream's events. Rejects with an
   * AmbitError of `hbone-errors.ts` when no tunnel can be had, or with the signal's reason.
   */
  async connect(
    key: HbonePoolKey,
    request: ConnectRequest,
    deps: HboneDialDeps,
    signal: AbortSignal,
  ): Promise<HboneClientStream> {
    const stream = new ClientStream({
      fields: connectHeaders(request),
      clock: this.#clock,
      answerTimeoutMs: this.#options.answerTimeoutMs ?? TEN_SECONDS_MS,
      reopen: (again) => this.#open(key, deps, again, AbortSignal.timeout(TEN_SECONDS_MS)),
    });
    try {
      stream.openedOn(await this.#open(key, deps, stream, signal));
      return stream;
    } catch (error) {
      stream.reset();
      throw error;
    }
  }

  /** Tunnels of matching keys take no new streams and end with their last one. */
  retire(matches: (key: HbonePoolKey) => boolean): void {
    for (const { key, entry } of this.#entries.values()) if (matches(key)) entry.retire();
  }

  /** Tunnels of matching keys end now; their streams report "closed-by-policy". */
  abort(matches: (key: HbonePoolKey) => boolean, reason: string): void {
    for (const { key, entry } of this.#entries.values()) {
      if (matches(key)) entry.destroy(closedByPolicy(reason));
    }
  }

  tunnels(): readonly TunnelReport[] {
    return [...this.#entries.values()].flatMap(({ key, entry }) =>
      [...entry.tunnels].map(({ session, serial, peerIdentity }) => ({
        key,
        streams: session.streamCount,
        serial,
        peerIdentity,
      })),
    );
  }

  /** Ends every tunnel now; call it after the relays have ended. */
  async close(): Promise<void> {
    this.#closed = true;
    this.abort(() => true, "the proxy is shutting down");
  }

  async #open(
    key: HbonePoolKey,
    deps: HboneDialDeps,
    stream: ClientStream,
    signal: AbortSignal,
  ): Promise<OpenedOn> {
    if (this.#closed) throw closedByPolicy("the proxy is shutting down");
    const { entry } = this.#entry(key);
    return entry.acquire(
      {
        serial: () => deps.credentials().serial,
        dial: () => this.#dial(key, entry, deps),
        open: (tunnel) => {
          const opened = tunnel.session.openStream(stream.fields, stream);
          return opened === undefined ? undefined : openedOn(tunnel, opened);
        },
      },
      signal,
    );
  }

  #dial(key: HbonePoolKey, entry: PoolEntry, deps: HboneDialDeps): Promise<Tunnel> {
    const { backend, dialTimeoutMs = TEN_SECONDS_MS, budget, limits } = this.#options;
    const { destination, expectedIdentities } = key;
    const clock = this.#clock;
    return openTunnel(
      { backend, clock, dialTimeoutMs, budget, limits, destination, expectedIdentities },
      deps,
      entry,
    );
  }

  #entry(key: HbonePoolKey): KeyedEntry {
    const text = keyText(key);
    const known = this.#entries.get(text);
    if (known !== undefined) return known;
    const entry = new PoolEntry({
      clock: this.#clock,
      idleReleaseMs: this.#options.idleReleaseMs ?? FIVE_MINUTES_MS,
      capacityTimeoutMs: TEN_SECONDS_MS,
      onEmpty: () => this.#entries.delete(text),
    });
    const keyed = { key, entry };
    this.#entries.set(text, keyed);
    return keyed;
  }
}

function openedOn(tunnel: Tunnel, stream: OpenedOn["stream"]): OpenedOn {
  return {
    stream,
    session: tunnel.session,
    peerIdentity: tunnel.peerIdentity,
    peerCertificateSerial: tunnel.peerCertificateSerial,
  };
}

function keyText({ sourceIdentity, sourceIp, expectedIdentities, destination }: HbonePoolKey): string {
  return `${sourceIdentity} ${sourceIp} ${formatSocketAddress(destination)} ${expectedIdentities.join(" ")}`;
}
