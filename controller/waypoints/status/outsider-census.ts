/**
 * Asks ztunnels, for every binding that is on its way, which callers outside of the mesh its workloads let in within the last hour. What was found
 * last before callers are refused stays; after a restart of this process it is what ztunnels still know. The leader alone.
 */
import type { Clock } from "#core/base/clock.ts";
import type { PolicyKey } from "#core/model/ids.ts";
import { describeError } from "#core/runtime/errors.ts";
import type { Logger } from "#core/runtime/log.ts";
import { spawn } from "#core/runtime/spawn.ts";
import { type Binding, bindingKey, pushesOf } from "../binding/binding.ts";
import { describeOutsiders, type Judgement, type OutsiderAnswer, outsidersIn } from "./outsiders.ts";
import type { WaypointGateway } from "../gateway/waypoint-gateway.ts";

export interface CensusDeps {
  readonly clock: Clock;
  readonly log: Logger;
  readonly ztunnels: () => readonly { readonly address: string; readonly node: string }[];
  /** The text of a ztunnel's metrics. */
  readonly scrape: (address: string) => Promise<string>;
  /** Undefined for a binding that will refuse nobody. */
  readonly judgement: (gateway: WaypointGateway, binding: Binding) => Judgement | undefined;
  readonly onResult: () => void;
}

/** While callers are not refused yet, there may be new ones. */
const REPEAT_MS = 5 * 60_000;

interface Entry {
  readonly gateway: string;
  readonly policy: PolicyKey;
  readonly atMs: number;
  result: string | undefined;
}

interface Question {
  readonly entry: Entry;
  readonly key: string;
  readonly judgement: Judgement;
}

export class OutsiderCensus {
  readonly #deps: CensusDeps;
  /** By gateway and binding. */
  readonly #entries = new Map<string, Entry>();

  constructor(deps: CensusDeps) {
    this.#deps = deps;
  }

  /** What to say about the policies that a waypoint (`namespace/gateway`) judges by. */
  of(gateway: string): ReadonlyMap<PolicyKey, string> {
    const said = [...this.#entries.values()].filter((entry) => entry.gateway === gateway);
    return new Map(said.flatMap(({ policy, result }) => (result === undefined ? [] : [[policy, result]])));
  }

  /** Begins to ask where bindings are new; returns at once. */
  look(gateways: readonly WaypointGateway[]): void {
    const present = new Set<string>();
    const due: Question[] = [];
    for (const gateway of gateways) {
      for (const binding of gateway.record.bindings) {
        const key = `${gateway.key} ${bindingKey(binding)}`;
        present.add(key);
        const question = this.#questionOf(gateway, binding, key);
        if (question !== undefined) due.push(question);
      }
    }
    for (const key of this.#entries.keys()) if (!present.has(key)) this.#entries.delete(key);
    if (due.length > 0) spawn(this.#deps.log, "outsiders", () => this.#ask(due));
  }

  #questionOf(gateway: WaypointGateway, binding: Binding, key: string): Question | undefined {
    const known = this.#entries.get(key);
    const nowMs = this.#deps.clock.monotonicMs();
    // Who is refused by now is not let in any more: what was counted before is the answer.
    if (known !== undefined && (pushesOf(binding.stage).denies || nowMs - known.atMs < REPEAT_MS))
      return undefined;
    const judgement = this.#deps.judgement(gateway, binding);
    if (judgement === undefined) return undefined;
    const entry = { gateway: gateway.key, policy: binding.policy, atMs: nowMs, result: known?.result };
    this.#entries.set(key, entry);
    return { entry, key, judgement };
  }

  async #ask(due: readonly Question[]): Promise<void> {
    const { ztunnels, clock, onResult } = this.#deps;
    const answers = await Promise.all(ztunnels().map((ztunnel) => this.#answersOf(ztunnel, due)));
    let isNews = false;
    for (const [i, { entry, key }] of due.entries()) {
      const own = answers.flatMap((list) => list.slice(i, i + 1));
      const result = describeOutsiders(own, new Date(clock.nowMs()));
      if (this.#entries.get(key) !== entry || result === entry.result) continue;
      entry.result = result;
      isNews = true;
    }
    if (isNews) onResult();
  }

  async #answersOf(
    { address, node }: { readonly address: string; readonly node: string },
    due: readonly Question[],
  ): Promise<readonly OutsiderAnswer[]> {
    try {
      const text = await this.#deps.scrape(address);
      return due.map(({ judgement }) => ({
        node,
        count: outsidersIn(text, judgement),
        isNeeded: judgement.isNeeded(node),
      }));
    } catch (error) {
      this.#deps.log.warn(
        { ztunnel: address, error: describeError(error) },
        "callers outside of the mesh not counted",
      );
      return due.map(({ judgement }) => ({ node, count: undefined, isNeeded: judgement.isNeeded(node) }));
    }
  }
}
