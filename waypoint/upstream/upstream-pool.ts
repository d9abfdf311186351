/**
 * Connections to upstreams, in lanes: one per endpoint, protocol and caller's identity, so that whatever goes wrong on a connection can only ever hit
 * the caller's own identity.
 */
import type { Clock } from "#core/base/clock.ts";
import type { Handle } from "#core/handle/handle.ts";
import type { SpiffeId } from "#core/model/spiffe-id.ts";
import type { KeptShares } from "../kept-shares.ts";
import type { HttpEngines, HttpProtocol } from "../http/engines.ts";
import type { EndpointDialer } from "./dial-endpoint.ts";
import type { Endpoint } from "./endpoint.ts";
import { UpstreamLane } from "./upstream-lane.ts";

export interface UpstreamPoolDeps {
  readonly dialer: EndpointDialer;
  readonly engines: HttpEngines;
  readonly kept: KeptShares;
  readonly clock: Clock;
  /** The whole of W4. */
  readonly dialTimeoutMs: number;
}

const LOOK_MS = 5_000;

export class UpstreamPool {
  readonly #deps: UpstreamPoolDeps;
  readonly #lanes = new Map<string, UpstreamLane>();
  #cancelLook: () => void = () => undefined;

  constructor(deps: UpstreamPoolDeps) {
    this.#deps = deps;
    this.#lookLater();
  }

  get laneCount(): number {
    return this.#lanes.size;
  }

  lane(endpoint: Endpoint, protocol: HttpProtocol, caller: SpiffeId): UpstreamLane {
    const { engines, kept } = this.#deps;
    const { workload, address, identity } = endpoint;
    const key = `${protocol} ${address.ip} ${address.port} ${workload.uid} ${identity ?? ""} ${caller}`;
    const known = this.#lanes.get(key);
    if (known !== undefined) return known;
    const lane: UpstreamLane = new UpstreamLane({
      protocol,
      dial: () => this.connect(endpoint, caller),
      connect: (handle, events) => engines.connect(protocol, handle, { events, keptLimit: kept.of(caller) }),
      onEmpty: () => {
        if (this.#lanes.get(key) === lane) this.#lanes.delete(key);
      },
    });
    this.#lanes.set(key, lane);
    return lane;
  }

  /** A pipe of its own, for whoever speaks no HTTP. */
  async connect(endpoint: Endpoint, caller: SpiffeId): Promise<Handle> {
    const { clock, dialer, dialTimeoutMs, kept } = this.#deps;
    const controller = new AbortController();
    const timeout = (): void => controller.abort(new DOMException("the dial took too long", "TimeoutError"));
    const cancel = clock.after(dialTimeoutMs, timeout);
    try {
      return await dialer.connect(endpoint, kept.of(caller), controller.signal);
    } finally {
      cancel();
    }
  }

  async close(): Promise<void> {
    this.#cancelLook();
    for (const lane of this.#lanes.values()) lane.destroy("the waypoint ends");
    await this.#deps.dialer.close();
  }

  #lookLater(): void {
    this.#cancelLook = this.#deps.clock.after(LOOK_MS, () => {
      for (const lane of this.#lanes.values()) lane.look();
      this.#lookLater();
    });
  }
}
