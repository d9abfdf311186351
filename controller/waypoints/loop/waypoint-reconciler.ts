/**
 * The leader's loop over waypoints: makes those that policies need, moves their bindings from stage to stage, removes them when
 * nothing needs them. All it must remember is on the Gateways, so that any replica goes on where another one ended.
 */
import type { Clock } from "#core/base/clock.ts";
import { kubeStatus } from "#core/k8s/kube-client.ts";
import type { Logger } from "#core/runtime/log.ts";
import { spawn } from "#core/runtime/spawn.ts";
import { AUTOMATIC_WAYPOINT } from "#core/model/waypoint.ts";
import { attempt, type Attempts } from "./attempts.ts";
import type { WantedBinding } from "../binding/binding.ts";
import { type BindingFacts, type BindingTimes, NO_FACTS_YET } from "../binding/binding-machine.ts";
import {
  factsOf,
  forgetOldAwaited,
  type GatewayProgress,
  isProvisionDue,
  isUnsettled,
  newProgress,
  type ProgressSource,
  RESYNC_MS,
  viewOf,
} from "./gateway-progress.ts";
import type { WaypointApi } from "../objects/waypoint-api.ts";
import type { WaypointNeeds } from "../needs/needs-waypoint.ts";
import { nextBindings } from "../binding/next-record.ts";
import { type AskedOfGateway, nextStep, stagesOf } from "./next-step.ts";
import type { Takeovers } from "../takeover/takeovers.ts";
import type { GatewayView, WaypointView } from "../status/waypoint-view.ts";
import { isLeaving, isNobodys, type WaypointGateway } from "../gateway/waypoint-gateway.ts";
import { formatRecord } from "../gateway/waypoint-record.ts";

export interface ReconcilerDeps {
  readonly api: WaypointApi;
  readonly clock: Clock;
  readonly log: Logger;
  readonly times: BindingTimes;
  readonly isLeader: () => boolean;
  readonly source: ProgressSource;
  readonly needs: () => WaypointNeeds;
  readonly takeovers: (needs: WaypointNeeds) => Takeovers;
  readonly gateways: () => readonly WaypointGateway[];
  /** Of the policies behind bindings: a new generation must be acknowledged anew. */
  readonly generation: (policy: string) => number;
  /** What is known has changed, or may have. */
  readonly onView: (view: WaypointView) => void;
}

interface Wanted extends AskedOfGateway {
  readonly generations: GatewayView["generations"];
}

/** While something is on its way acknowledgements, not clocks, set the pace; this bounds what is missed. */
const BUSY_MS = 100;
const IDLE_MS = 15_000;
const TAKEN_RETRY_MS = 1_000;

export class WaypointReconciler {
  readonly #deps: ReconcilerDeps;
  readonly #progress = new Map<string, GatewayProgress>();
  #running = false;
  /** Since when ztunnels can connect to this controller. */
  #watchingSinceMs = Number.POSITIVE_INFINITY;
  #again = false;
  #stopped = false;
  #cancelTimer: () => void = () => undefined;

  constructor(deps: ReconcilerDeps) {
    this.#deps = deps;
  }

  /** Something changed: configuration, an acknowledgement, leadership. */
  poke(): void {
    if (this.#stopped) return;
    this.#again = true;
    if (this.#running) return;
    this.#running = true;
    setImmediate(() => spawn(this.#deps.log, "waypoints", () => this.#run()));
  }

  stop(): void {
    this.#stopped = true;
    this.#cancelTimer();
  }

  async #run(): Promise<void> {
    try {
      while (this.#again && !this.#stopped) {
        this.#again = false;
        this.#cancelTimer();
        const busy = await this.#round();
        this.#cancelTimer = this.#deps.clock.after(busy ? BUSY_MS : IDLE_MS, () => this.poke());
      }
    } finally {
      this.#running = false;
    }
  }

  /** True while something is on its way. */
  async #round(): Promise<boolean> {
    const { isLeader, source, needs: readNeeds, takeovers, gateways: readGateways, onView } = this.#deps;
    if (source.isReady())
      this.#watchingSinceMs = Math.min(this.#watchingSinceMs, this.#deps.clock.monotonicMs());
    if (!isLeader() || !source.isReady()) {
      this.#progress.clear();
      return false;
    }
    const needs = readNeeds();
    const { held, attachments } = takeovers(needs);
    const gateways = new Map(readGateways().map((gateway) => [gateway.key, gateway]));
    const automatic = new Set([...needs.namespaces.keys()].map((name) => `${name}/${AUTOMATIC_WAYPOINT}`));
    const views = new Map<string, GatewayView>();
    let busy = false;
    for (const key of new Set([...automatic, ...gateways.keys()])) {
      const progress = this.#progress.get(key) ?? newProgress();
      this.#progress.set(key, progress);
      const namespace = key.slice(0, key.indexOf("/"));
      const wanted = automatic.has(key) ? (needs.namespaces.get(namespace) ?? []) : [];
      const generations = this.#generations(key, gateways.get(key), needs);
      const asked = { wanted, held: held.get(namespace) ?? [], attachments: attachments.get(key) };
      const result = await this.#one(key, gateways.get(key), { ...asked, generations }, progress);
      busy ||= result.busy;
      views.set(key, result.view);
    }
    for (const key of this.#progress.keys()) if (!views.has(key)) this.#progress.delete(key);
    onView({ needs, gateways: views });
    return busy;
  }

  async #one(
    key: string,
    gateway: WaypointGateway | undefined,
    asked: Wanted,
    progress: GatewayProgress,
  ): Promise<{ readonly busy: boolean; readonly view: GatewayView }> {
    let waits: GatewayView["waits"] = new Map();
    let facts: BindingFacts | undefined;
    let busy = false;
    forgetOldAwaited(progress, this.#deps.clock.monotonicMs());
    const isProvided =
      gateway === undefined ||
      isLeaving(gateway, asked.wanted.length > 0) ||
      (await this.#attempt(key, gateway, progress.provision, () => this.#provide(gateway, progress)));
    const isDone = await this.#attempt(key, gateway, progress.steps, async () => {
      if (gateway === undefined) busy = await this.#create(key, asked.wanted, progress);
      else if (!isNobodys(gateway, asked.wanted.length > 0))
        ({ waits, facts, busy } = await this.#step(gateway, asked, progress));
    });
    return {
      busy: busy || !isProvided || !isDone,
      view: viewOf(progress, facts, waits, asked.generations),
    };
  }

  /** False when it has not been done. */
  #attempt(
    key: string,
    gateway: WaypointGateway | undefined,
    attempts: Attempts,
    what: () => Promise<void>,
  ): Promise<boolean> {
    const { clock, log } = this.#deps;
    return attempt(attempts, what, {
      clock,
      // A write that another one overtook is no failure: the next look has what that one wrote.
      isNoFailure: (error) => gateway !== undefined && kubeStatus(error) === 409,
      onFailure: (error, retryMs) =>
        log.warn({ waypoint: key, error, retry_ms: retryMs }, "waypoint not reconciled"),
    });
  }

  async #create(key: string, wanted: readonly WantedBinding[], progress: GatewayProgress): Promise<boolean> {
    const { api, clock, log, source, times } = this.#deps;
    // What belonged to a Gateway that was deleted goes with it.
    progress.deploymentUid = "";
    if (wanted.length === 0 || progress.awaited !== undefined) return progress.awaited !== undefined;
    const namespace = key.slice(0, key.indexOf("/"));
    if (source.isTerminating(namespace)) return false;
    const { bindings } = nextBindings({
      bindings: [],
      wanted,
      facts: NO_FACTS_YET,
      nowMs: clock.nowMs(),
      times,
    });
    const record = { deploymentUid: "", bindings };
    await api.createGateway(namespace, record);
    this.#await(progress, record);
    const [first] = wanted;
    log.info({ waypoint: key, policy: first?.policy, field: first?.field }, "waypoint created");
    return true;
  }

  /** Account, service and pods; no pods while somebody else's object has the name. */
  async #provide(gateway: WaypointGateway, progress: GatewayProgress): Promise<void> {
    const { api, clock, source } = this.#deps;
    const due = isProvisionDue(progress, gateway, source.waypointPods(gateway), clock.monotonicMs());
    if (!due || gateway.deleting || progress.leaving || progress.awaited !== undefined) return;
    const provision = await api.provide(gateway);
    progress.provideAtMs = clock.monotonicMs() + RESYNC_MS;
    if (provision.kind === "taken") {
      progress.obstacle = `${provision.what} belongs to somebody else; delete or rename it`;
      progress.provideAtMs = clock.monotonicMs() + TAKEN_RETRY_MS;
      return;
    }
    progress.obstacle = undefined;
    progress.addresses = provision.addresses;
    progress.deploymentUid = provision.deploymentUid;
  }

  async #step(
    gateway: WaypointGateway,
    asked: AskedOfGateway,
    progress: GatewayProgress,
  ): Promise<{ readonly waits: GatewayView["waits"]; readonly facts: BindingFacts; readonly busy: boolean }> {
    const { clock, times, source } = this.#deps;
    const watched = { watchedMs: clock.monotonicMs() - this.#watchingSinceMs };
    const facts = { ...factsOf(gateway, source), ...watched };
    if (progress.awaited !== undefined) {
      if (progress.awaited !== formatRecord(gateway.record)) return { waits: new Map(), facts, busy: true };
      progress.awaited = undefined;
    }
    const blocked = progress.obstacle !== undefined || gateway.deleting;
    const { bindings, attached, changed, waits } = nextStep(gateway, asked, {
      // Nothing comes between callers and pods for which there can be no waypoint.
      facts: blocked ? { ...facts, readyWaypoints: 0 } : facts,
      nowMs: clock.nowMs(),
      times,
    });
    const uid = progress.deploymentUid || gateway.record.deploymentUid;
    const isEmpty = gateway.automatic && bindings.length === 0;
    if (isEmpty) return { waits, facts, busy: await this.#leave(gateway, progress) };
    progress.leaving = false;
    const record = { deploymentUid: uid, bindings, ...(attached.length > 0 && { attached }) };
    const unsettled = isUnsettled([...stagesOf(record).keys()], facts, waits);
    if (!changed && uid === gateway.record.deploymentUid) return { waits, facts, busy: unsettled };
    await this.#write(gateway, record, progress);
    return { waits, facts, busy: true };
  }

  /** Nothing needs it any more: first its pods drain and go, then the exemptions with the Gateway. */
  async #leave(gateway: WaypointGateway, progress: GatewayProgress): Promise<boolean> {
    const { api, log, source, isLeader } = this.#deps;
    if (!isLeader()) return false;
    if (!progress.leaving) {
      await api.removePods(gateway);
      progress.leaving = true;
      progress.deploymentUid = "";
      progress.provideAtMs = 0;
      log.info({ waypoint: gateway.key }, "waypoint leaves");
    }
    if (source.remainingPods(gateway).length > 0) return true;
    if (!gateway.deleting) await api.deleteGateway(gateway);
    return true;
  }

  async #write(
    gateway: WaypointGateway,
    record: WaypointGateway["record"],
    progress: GatewayProgress,
  ): Promise<void> {
    const { api, isLeader, log } = this.#deps;
    if (!isLeader()) return;
    const before = stagesOf(gateway.record);
    await api.writeRecord(gateway, record);
    this.#await(progress, record);
    if (gateway.lost !== undefined) {
      progress.restored = gateway.lost;
      const closed = [...stagesOf(record).keys()];
      log.warn(
        { waypoint: gateway.key, record: gateway.lost, closed },
        "record lost: made anew from policies",
      );
    }
    for (const [what, stage] of stagesOf(record)) {
      const from = before.get(what) ?? "nothing";
      if (from !== stage) log.info({ waypoint: gateway.key, what, from, stage }, "binding");
    }
  }

  #await(progress: GatewayProgress, record: WaypointGateway["record"]): void {
    progress.awaited = formatRecord(record);
    progress.awaitedMs = this.#deps.clock.monotonicMs();
  }

  /** Versions of the policies that this waypoint enforces. */
  #generations(
    key: string,
    gateway: WaypointGateway | undefined,
    needs: WaypointNeeds,
  ): GatewayView["generations"] {
    const namespace = key.slice(0, key.indexOf("/"));
    const own = key === `${namespace}/${AUTOMATIC_WAYPOINT}` ? (needs.namespaces.get(namespace) ?? []) : [];
    const targeting = [...needs.explicit].flatMap(([policy, names]) => (names.includes(key) ? [policy] : []));
    const bound = gateway?.record.bindings ?? [];
    const policies = new Set([...[...own, ...bound].map(({ policy }) => policy), ...targeting]);
    return new Map([...policies].toSorted().map((policy) => [policy, this.#deps.generation(policy)]));
  }
}
