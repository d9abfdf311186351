/** Asks ztunnels, for every waypoint with bindings, which callers outside of the mesh its workloads had. The leader alone. */
import type { Clock } from "#core/base/clock.ts";
import { describeError } from "#core/runtime/errors.ts";
import type { Logger } from "#core/runtime/log.ts";
import { spawn } from "#core/runtime/spawn.ts";
import { bindingKey } from "./binding.ts";
import { describeOutsiders, outsidersIn, sumOf, type WorkloadName } from "./outsiders.ts";
import type { WaypointGateway } from "./waypoint-gateway.ts";

export interface CensusDeps {
  readonly clock: Clock;
  readonly log: Logger;
  /** Addresses of ztunnels. */
  readonly ztunnels: () => readonly string[];
  /** The text of a ztunnel's metrics. */
  readonly scrape: (address: string) => Promise<string>;
  readonly isServed: (gateway: WaypointGateway, workload: WorkloadName) => boolean;
  readonly isOutside: (workload: WorkloadName) => boolean;
  readonly onResult: () => void;
}

/** Counters only grow, and nobody is added once the waypoint is there. */
const REPEAT_MS = 15 * 60_000;

interface Entry {
  readonly text: string;
  readonly atMs: number;
  result: string | undefined;
}

export class OutsiderCensus {
  readonly #deps: CensusDeps;
  readonly #entries = new Map<string, Entry>();

  constructor(deps: CensusDeps) {
    this.#deps = deps;
  }

  /** What to say about a waypoint, by `namespace/gateway`. */
  of(key: string): string | undefined {
    return this.#entries.get(key)?.result;
  }

  /** Begins to ask where bindings are new; returns at once. */
  look(gateways: readonly WaypointGateway[]): void {
    const present = new Set(gateways.map(({ key }) => key));
    for (const key of this.#entries.keys()) if (!present.has(key)) this.#entries.delete(key);
    for (const gateway of gateways) {
      const text = gateway.record.bindings.map(bindingKey).join("\n");
      const known = this.#entries.get(gateway.key);
      const nowMs = this.#deps.clock.monotonicMs();
      if (text === "" || (known?.text === text && nowMs - known.atMs < REPEAT_MS)) continue;
      const entry: Entry = { text, atMs: nowMs, result: known?.result };
      this.#entries.set(gateway.key, entry);
      spawn(this.#deps.log, "outsiders", () => this.#ask(gateway, entry));
    }
  }

  async #ask(gateway: WaypointGateway, entry: Entry): Promise<void> {
    const { ztunnels, scrape, isServed, isOutside, log, onResult } = this.#deps;
    const answers = await Promise.all(
      ztunnels().map(async (address) => {
        try {
          return outsidersIn(await scrape(address), {
            isServed: (workload) => isServed(gateway, workload),
            isOutside,
          });
        } catch (error) {
          log.warn(
            { ztunnel: address, error: describeError(error) },
            "callers outside of the mesh not counted",
          );
          return new Map<string, number>();
        }
      }),
    );
    const result = describeOutsiders(sumOf(answers));
    if (this.#entries.get(gateway.key) !== entry || result === entry.result) return;
    entry.result = result;
    onResult();
  }
}
