/** Parts of the model of several replicas (`replica-model.ts`): what a replica and a ztunnel are, and what a replica says and counts. */
import { parsed } from "#core/base/parse-result.ts";
import { aWaypointPod } from "./waypoint-cluster.ts";
import type { BindingFacts } from "../waypoints/binding/binding-machine.ts";
import { bindingFacts } from "../waypoints/loop/proxy-progress.ts";
import { Departures } from "../replicas/departures.ts";
import { mergeReports } from "../replicas/merge-reports.ts";
import { projectReplica, type ReplicaObject } from "../replicas/replica-object.ts";
import type { ReplicaReport, ReportedProxy } from "../replicas/replica-report.ts";
import { type LiveReplica, ReplicaSightings } from "../replicas/replica-sightings.ts";
import { FRESH_MS } from "../replicas/replica-lease.ts";

/** Safeguards that can be left out, to show that the model would notice. */
export interface Safeguards {
  /** A replica that is cut off serves nobody. */
  readonly fences: boolean;
  /** After a lapse it reads everything anew before it serves. */
  readonly rereads: boolean;
  /** Its own word counts when the watch has brought it back. */
  readonly hearsItself: boolean;
  /** What replicas say counts when they agree on who lives. */
  readonly agrees: boolean;
  /** A proxy on its way is waited for. */
  readonly awaitsMoves: boolean;
  /** A replica goes on telling of clients that have left it without what they should have. */
  readonly remembersLeft: boolean;
  /** A Lease is written before anything is listed. */
  readonly beginsWithLease: boolean;
}

export const ALL_SAFEGUARDS: Safeguards = {
  fences: true,
  rereads: true,
  hearsItself: true,
  agrees: true,
  awaitsMoves: true,
  remembersLeft: true,
  beginsWithLease: true,
};

const GATEWAY = "shop/ambit-waypoint";
export const AWAY_MS = 10_000;

interface PendingWrite {
  readonly startMs: number;
  readonly object: ReplicaObject;
}

export interface Replica {
  readonly name: string;
  readonly holder: string;
  readonly sightings: ReplicaSightings;
  readonly departures: Departures;
  readonly startedMs: number;
  /** What it has read and what it has published; undefined before its first list. */
  seen: number | undefined;
  published: number | undefined;
  readonly acknowledged: Map<number, number>;
  /** Clients that have left, with what they had. */
  readonly departed: Map<number, { readonly had: number; readonly leftMs: number }>;
  leases: Map<string, ReplicaObject>;
  leaseCursor: number;
  write: PendingWrite | undefined;
  renewedMs: number | undefined;
  catchingUp: boolean;
  isAway: boolean;
  /** It has decided to leave this stage, and its write is on its way. */
  leaves: number | undefined;
}

export interface Ztunnel {
  at: Replica | undefined;
  /** What it acts by; undefined: it has just begun, and lets nobody through. */
  has: number | undefined;
  coming: number | undefined;
  /** Since when, and until when, its replica's word has named it. */
  reportedFromMs: number;
  reportedToMs: number;
  /** Named for 10 s, and not gone for 10 s. */
  isKnown: boolean;
}

/** All ztunnels, and the time. */
export interface Moment {
  readonly ztunnels: readonly Ztunnel[];
  readonly nowMs: number;
  readonly safeguards: Safeguards;
}

export function newReplica(name: string, holder: string, nowMs: number): Replica {
  return {
    name,
    holder,
    sightings: new ReplicaSightings(holder),
    departures: new Departures(AWAY_MS),
    startedMs: nowMs,
    seen: undefined,
    published: undefined,
    acknowledged: new Map(),
    departed: new Map(),
    leases: new Map(),
    leaseCursor: 0,
    write: undefined,
    renewedMs: undefined,
    catchingUp: false,
    isAway: false,
    leaves: undefined,
  };
}

export function reportOf(replica: Replica, moment: Moment): ReplicaReport {
  const mine = moment.ztunnels.flatMap((ztunnel, z) => (ztunnel.at === replica ? [z] : []));
  const { published, seen, acknowledged, departed } = replica;
  const behind = mine.filter((z) => (acknowledged.get(z) ?? -1) < (published ?? 0)).map(uidOf);
  const isPublished = published !== undefined && published === seen;
  const left = departuresOf(replica, moment);
  const lacking = left.filter((z) => (departed.get(z)?.had ?? -1) < (published ?? 0)).map(uidOf);
  const about = { text: textOf(published ?? 0), behind: new Set([...behind, ...lacking]) };
  return {
    view: replica.sightings.live().map(({ holder }) => holder),
    proxies: [...mine.map((z) => proxy(z, false)), ...left.map((z) => proxy(z, true))],
    gateways: new Map(isPublished ? [[GATEWAY, about]] : []),
    refused: [],
  };
}

function departuresOf(replica: Replica, { ztunnels, nowMs, safeguards }: Moment): readonly number[] {
  for (const [z, { leftMs }] of replica.departed)
    if (nowMs - leftMs >= 30_000 || ztunnels[z]?.at === replica) replica.departed.delete(z);
  return safeguards.remembersLeft ? [...replica.departed.keys()] : [];
}

/** As it would be read again. */
export function leaseOf({ name, holder }: Replica, report: ReplicaReport, renewTime: string): ReplicaObject {
  const bare = projectReplica({ metadata: { name, uid: name, resourceVersion: renewTime } });
  return { ...bare, holder, renewTime, report: parsed(report) };
}

export function factsOf(replica: Replica, moment: Moment): BindingFacts {
  const { ztunnels, nowMs, safeguards } = moment;
  const mine = reportOf(replica, moment);
  replica.departures.note(connectedIn([parsed(mine)]), nowMs, undefined);
  const merged = mergeReports(counted(replica, mine, safeguards), GATEWAY, textOf(replica.seen ?? 0));
  const isDeaf = nowMs - (replica.sightings.watchedToMs ?? 0) >= FRESH_MS;
  return {
    ...bindingFacts({
      ...merged,
      published: merged.published && !isDeaf,
      recent: safeguards.awaitsMoves ? replica.departures.recent() : new Set(),
      ztunnels: ztunnels.map((_, z) => aWaypointPod({ node: `n${z}` }, { uid: uidOf(z) })),
      nodes: new Set(["n2", "n3"]),
      gateway: GATEWAY,
      waypointPods: [],
    }),
    watchedMs: nowMs - replica.startedMs,
  };
}

function counted(
  { name, holder, sightings }: Replica,
  mine: ReplicaReport,
  { hearsItself, agrees }: Safeguards,
): readonly LiveReplica[] {
  const live = sightings.live();
  const own = { name, holder, isOwn: true, report: parsed(mine) };
  const all = hearsItself ? live : [...live.filter(({ isOwn }) => !isOwn), own];
  if (agrees) return all;
  const view = all.map((one) => one.holder);
  return all.map((one) => (one.report.ok ? { ...one, report: parsed({ ...one.report.value, view }) } : one));
}

export function connectedIn(reports: readonly LiveReplica["report"][]): readonly string[] {
  return reports
    .flatMap((report) => (report.ok ? report.value.proxies : []))
    .flatMap(({ podUid, hasLeft }) => (hasLeft ? [] : [podUid]));
}

function proxy(z: number, hasLeft: boolean): ReportedProxy {
  return { podUid: uidOf(z), pod: `m/z${z}`, node: `n${z}`, waypoint: undefined, hasLeft };
}

export function uidOf(z: number): string {
  return `uid-${z}`;
}

function textOf(stage: number): string {
  return stage.toString(16).padStart(32, "0");
}
