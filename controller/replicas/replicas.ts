/**
 * Several replicas of the controller: each tells by a Lease what it has published and what its clients have in force; each reads all of them,
 * so that whichever leads knows of every proxy (docs/adr/0018).
 */
import { randomBytes } from "node:crypto";
import type { Clock } from "#core/base/clock.ts";
import { Informer } from "#core/k8s/informer.ts";
import type { KubeClient } from "#core/k8s/kube-client.ts";
import { LEASE } from "#core/k8s/kinds.ts";
import type { Logger } from "#core/runtime/log.ts";
import type { Audience } from "../push/client-stream.ts";
import { Departures } from "./departures.ts";
import { mergeReports, type SeenByAll } from "./merge-reports.ts";
import { projectReplica, isReplica, REPLICA_SELECTOR, type ReplicaObject } from "./replica-object.ts";
import { FRESH_MS, ReplicaLease } from "./replica-lease.ts";
import type { Refusal, ReplicaReport, ReportedProxy } from "./replica-report.ts";
import { type LiveReplica, ReplicaSightings } from "./replica-sightings.ts";
import { AUDIENCES, type Standing, standing } from "./standing.ts";

export interface ReplicasDeps {
  readonly client: KubeClient;
  readonly clock: Clock;
  readonly log: Logger;
  readonly namespace: string;
  readonly podName: string;
  readonly podUid: string;
  /** How long a proxy that is nowhere may be on its way. */
  readonly awayMs: number;
  readonly ownReport: () => ReplicaReport;
  /** The Lease is there for the first time: what is read from now on is not older than what others count on. */
  readonly onBegun: () => void;
  /** Everything must be read anew; `isCurrent` tells when that has been done and published. */
  readonly reread: () => void;
  readonly isCurrent: () => boolean;
  readonly onStanding: (standing: Standing) => void;
  /** What the replicas say has changed. */
  readonly onChange: () => void;
}

const REFRESH_MS = 10;

export class Replicas {
  readonly #deps: ReplicasDeps;
  readonly #sightings: ReplicaSightings;
  readonly #departures: Departures;
  readonly #lease: ReplicaLease;
  readonly #informer: Informer<ReplicaObject>;
  #begun = false;
  #catchingUp = false;
  #standing: Standing = "serving";
  #said = "";
  #refreshing = false;
  #stopped = false;

  constructor(deps: ReplicasDeps) {
    this.#deps = deps;
    const { client, clock, log, namespace, podName, podUid, awayMs } = deps;
    const api = { client, clock, log, namespace };
    const holder = `${podName}_${randomBytes(6).toString("hex")}`;
    const sightings = new ReplicaSightings(holder);
    this.#sightings = sightings;
    this.#departures = new Departures(awayMs);
    this.#lease = new ReplicaLease({
      ...api,
      podName,
      podUid,
      holder,
      onSend: (renewTime, nowMs) => sightings.sent(renewTime, nowMs),
      onRenewed: (lapsed) => this.#renewed(lapsed),
    });
    this.#informer = new Informer<ReplicaObject>({
      ...api,
      kind: LEASE,
      labelSelector: REPLICA_SELECTOR,
      project: projectReplica,
      onBatch: () => this.#observe(),
    });
  }

  start(): void {
    this.#lease.start();
    this.#informer.start();
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    this.#informer.stop();
    await this.#lease.stop();
  }

  /** Who may be served now: asked before anything is sent. */
  audience(): Audience {
    return this.#begun ? AUDIENCES[standing(this.#facts())] : "nobody";
  }

  /** Once a second or so. */
  check(): void {
    if (!this.#begun) return;
    if (this.#catchingUp && this.#deps.isCurrent()) this.#catchingUp = false;
    this.#refresh();
    const now = standing(this.#facts());
    if (now === this.#standing) return;
    this.#standing = now;
    this.#deps.log.warn({ standing: now }, "standing among replicas changed");
    this.#deps.onStanding(now);
  }

  /** Something of the own report may have changed. */
  poke(): void {
    if (this.#refreshing || this.#stopped) return;
    this.#refreshing = true;
    this.#deps.clock.after(REFRESH_MS, () => {
      this.#refreshing = false;
      this.#refresh();
    });
  }

  /** What all live replicas say about a waypoint in the state that `text` stands for. */
  seen(gateway: string, text: string): SeenByAll {
    const merged = mergeReports(this.#sightings.live(), gateway, text);
    const heardMs = this.#sightings.watchedToMs ?? Number.NEGATIVE_INFINITY;
    const isDeaf = this.#deps.clock.monotonicMs() - heardMs >= FRESH_MS;
    return isDeaf ? { ...merged, published: false } : merged;
  }

  /** Uids of proxies that are connected to some replica, or were a moment ago. */
  recentProxies(): ReadonlySet<string> {
    return this.#departures.recent();
  }

  /** What clients of any replica have refused. */
  refused(): readonly Refusal[] {
    return this.live().flatMap(({ report }) => (report.ok ? report.value.refused : []));
  }

  hasOthers(): boolean {
    return this.live().some(({ isOwn }) => !isOwn);
  }

  live(): readonly LiveReplica[] {
    return this.#sightings.live();
  }

  #refresh(): void {
    if (this.#stopped) return;
    const report = this.#deps.ownReport();
    this.#noteProxies(report.proxies.filter(({ hasLeft }) => !hasLeft));
    const view = this.live().map(({ holder }) => holder);
    this.#lease.offer({ ...report, view });
  }

  #noteProxies(proxies: readonly ReportedProxy[]): void {
    const uids = proxies.map(({ podUid }) => podUid);
    this.#departures.note(uids, this.#deps.clock.monotonicMs(), this.#sightings.watchedToMs);
  }

  #renewed(lapsed: boolean): void {
    if (lapsed && this.#begun) {
      this.#catchingUp = true;
      this.#deps.log.warn({}, "lease had lapsed: everything is read anew");
      this.#deps.reread();
    }
    if (this.#begun) return;
    this.#begun = true;
    this.#deps.onBegun();
  }

  #observe(): void {
    const objects = [...this.#informer.objects().values()].filter(isReplica);
    const before = this.#sightings.live();
    this.#sightings.observe(objects, this.#deps.clock.monotonicMs());
    const live = this.#sightings.live();
    // Clients of a replica that is gone look for another from now on.
    this.#noteProxies([...before, ...live].flatMap(({ report }) => (report.ok ? report.value.proxies : [])));
    const text = this.#whatIsSaid(objects, live);
    if (text === this.#said) return;
    this.#said = text;
    // Who lives is part of the own word.
    this.poke();
    this.#deps.onChange();
  }

  /** Renewals say nothing new, unless somebody has left. */
  #whatIsSaid(objects: readonly ReplicaObject[], live: readonly LiveReplica[]): string {
    const reports = new Map(objects.map((one) => [one.metadata.name, one.reportText]));
    const names = live.map(({ name }) => [name, reports.get(name)]);
    return JSON.stringify([names, this.#departures.recent().size]);
  }

  #facts(): Parameters<typeof standing>[0] {
    return {
      isFresh: this.#lease.isFresh(),
      hasOthers: this.hasOthers(),
      isCatchingUp: this.#catchingUp,
    };
  }
}
