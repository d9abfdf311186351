/**
 * A small model of several replicas, made of the real decisions: who lives, what all say, whether a stage is over, who may serve. Everything
 * that can be late is late as it likes: watches, pushes, acknowledgements, writes and their answers. Stages are numbers; a stage may be
 * left when every destination acts by it, and every source but those that have been connected to nobody for 10 s.
 */
import type { Audience } from "../push/client-stream.ts";
import { FRESH_MS } from "../replicas/replica-lease.ts";
import { LEASE_MS, type ReplicaObject } from "../replicas/replica-object.ts";
import { AUDIENCES, standing } from "../replicas/standing.ts";
import { stepBinding } from "../waypoints/binding/binding-machine.ts";
import {
  AWAY_MS,
  connectedIn,
  factsOf,
  leaseOf,
  type Moment,
  newReplica,
  type Replica,
  reportOf,
  type Safeguards,
  uidOf,
  type Ztunnel,
} from "./replica-model-parts.ts";

const TIMES = { drainMs: 0, missingMs: AWAY_MS, graceMs: 0 };
const NAMES = ["a", "b", "c"] as const;

export class ReplicaModel {
  /** The last stage; 0 at first. */
  stage = 0;
  violation: string | undefined;
  readonly #safeguards: Safeguards;
  readonly #replicas = new Map<string, Replica>();
  /** The first two are sources, the last two destinations as well. */
  readonly #ztunnels: readonly Ztunnel[];
  readonly #leaseLog: ReplicaObject[] = [];
  /** The last of each process. */
  readonly #words = new Map<string, ReplicaObject["report"]>();
  #nowMs = 100_000;
  #stageSinceMs = 0;
  #version = 0;

  constructor(safeguards: Safeguards) {
    this.#safeguards = safeguards;
    this.#ztunnels = Array.from({ length: 4 }, () => ({
      at: undefined,
      has: 0,
      coming: undefined,
      reportedFromMs: this.#nowMs,
      reportedToMs: 0,
      isKnown: false,
    }));
    for (const name of ["a", "b"]) this.#calm(this.#start(name));
    this.#ztunnels.forEach((_, i) => this.#connect(i, i % 2 === 0 ? "a" : "b"));
    for (let i = 0; i < 3; i++) for (const one of this.#replicas.values()) this.#calm(one);
  }

  /** One thing happens. */
  act(choice: number): void {
    const [kind, rest] = [choice % 32, Math.floor(choice / 32)];
    const name = NAMES[rest % 3] ?? "a";
    const z = Math.floor(rest / 3) % 4;
    const replica = this.#replicas.get(name);
    if (kind < 2) this.#pass([5, 700, 4_000, 6_000][z] ?? 5);
    else if (kind === 2) this.#pass(20_000);
    else if (kind === 3) this.#toggleApi(replica);
    else if (kind === 4) this.#stopOrStart(name, z);
    else if (kind < 8) this.#connect(z, name);
    else if (kind === 8) this.#restart(z);
    else if (replica !== undefined) this.#replicaActs(kind, replica, z);
    this.#check();
  }

  #replicaActs(kind: number, replica: Replica, z: number): void {
    if (kind < 11) this.#send(z);
    else if (kind < 15) this.#deliver(z);
    else if (kind < 17) this.#read(replica);
    else if (kind < 19) this.#publish(replica);
    else if (kind === 19) this.#beginWrite(replica);
    else if (kind === 20) this.#commitWrite(replica, z > 0);
    else if (kind === 21) this.#hear(replica, z + 1);
    else if (kind === 22) this.#closeAll(replica);
    else if (kind < 25) this.#decide(replica);
    else if (kind < 27) this.#leave(replica);
    else if (kind < 29) this.#calm(replica);
    else this.#goesWell(replica, kind === 31);
  }

  /** Nothing is slow for a moment; perhaps a stage is over. */
  #goesWell(leader: Replica, leaves: boolean): void {
    for (const [z, { at }] of this.#ztunnels.entries()) if (at === undefined) this.#connect(z, leader.name);
    for (let i = 0; i < 2; i++) for (const one of this.#replicas.values()) this.#calm(one);
    if (!leaves) return;
    this.#decide(leader);
    this.#leave(leader);
  }

  /** What happens by itself if nothing is slow. */
  #calm(replica: Replica): void {
    this.#read(replica);
    this.#publish(replica);
    for (let i = 0; i < 4; i++) {
      if (this.#ztunnels[i]?.at !== replica) continue;
      this.#send(i);
      this.#deliver(i);
    }
    this.#beginWrite(replica);
    this.#commitWrite(replica, true);
    this.#hear(replica, Number.POSITIVE_INFINITY);
  }

  #pass(ms: number): void {
    this.#nowMs += ms;
    for (const replica of this.#replicas.values()) if (ms < LEASE_MS && !replica.isAway) this.#renew(replica);
  }

  #renew(replica: Replica): void {
    if (this.#nowMs - (replica.renewedMs ?? 0) < 5_000) return;
    this.#beginWrite(replica);
    this.#commitWrite(replica, true);
    this.#hear(replica, 2);
  }

  #start(name: string): Replica {
    const replica = newReplica(name, `${name}_${++this.#version}`, this.#nowMs);
    if (!this.#safeguards.beginsWithLease) replica.seen = this.stage;
    for (const object of this.#leaseLog) replica.leases.set(object.metadata.name, object);
    replica.leaseCursor = this.#leaseLog.length;
    this.#replicas.set(name, replica);
    return replica;
  }

  get #moment(): Moment {
    return { ztunnels: this.#ztunnels, nowMs: this.#nowMs, safeguards: this.#safeguards };
  }

  /** Killed: its Lease stays as it was. */
  #stopOrStart(name: string, z: number): void {
    const replica = this.#replicas.get(name);
    if (replica === undefined) this.#start(name);
    else if (z === 0 && this.#replicas.size > 1) {
      this.#replicas.delete(name);
      for (const ztunnel of this.#ztunnels) if (ztunnel.at === replica) this.#disconnect(ztunnel);
    }
  }

  #toggleApi(replica: Replica | undefined): void {
    if (replica !== undefined) replica.isAway = !replica.isAway;
  }

  #audience(replica: Replica): Audience {
    if (replica.published === undefined) return "nobody";
    if (!this.#safeguards.beginsWithLease) return "everybody";
    if (replica.renewedMs === undefined) return "nobody";
    const isFresh = this.#nowMs - replica.renewedMs < FRESH_MS || !this.#safeguards.fences;
    const hasOthers = replica.sightings.live().some(({ isOwn }) => !isOwn);
    return AUDIENCES[standing({ isFresh, hasOthers, isCatchingUp: replica.catchingUp })];
  }

  #connect(z: number, name: string): void {
    const [ztunnel, replica] = [this.#ztunnels[z], this.#replicas.get(name)];
    if (ztunnel === undefined || replica === undefined) return;
    if (this.#audience(replica) !== "everybody") return;
    this.#disconnect(ztunnel);
    ztunnel.at = replica;
    replica.acknowledged.delete(z);
  }

  #disconnect(ztunnel: Ztunnel): void {
    const z = this.#ztunnels.indexOf(ztunnel);
    ztunnel.at?.departed.set(z, { had: ztunnel.at.acknowledged.get(z) ?? -1, leftMs: this.#nowMs });
    ztunnel.at = undefined;
    ztunnel.coming = undefined;
  }

  #restart(z: number): void {
    const ztunnel = this.#ztunnels[z];
    if (ztunnel === undefined) return;
    this.#disconnect(ztunnel);
    ztunnel.has = undefined;
  }

  #send(z: number): void {
    const ztunnel = this.#ztunnels[z];
    if (ztunnel?.at === undefined) return;
    const audience = this.#audience(ztunnel.at);
    const isServed = audience === "present" ? ztunnel.at.acknowledged.has(z) : audience === "everybody";
    if (isServed) ztunnel.coming = ztunnel.at.published;
  }

  #deliver(z: number): void {
    const ztunnel = this.#ztunnels[z];
    if (ztunnel?.at === undefined || ztunnel.coming === undefined) return;
    ztunnel.has = ztunnel.coming;
    ztunnel.at.acknowledged.set(z, ztunnel.coming);
    ztunnel.coming = undefined;
  }

  #closeAll(replica: Replica): void {
    if (this.#audience(replica) !== "nobody") return;
    for (const ztunnel of this.#ztunnels) if (ztunnel.at === replica) this.#disconnect(ztunnel);
  }

  #read(replica: Replica): void {
    if (replica.isAway || (this.#safeguards.beginsWithLease && replica.renewedMs === undefined)) return;
    replica.seen = this.stage;
    if (replica.catchingUp && replica.published === this.stage) replica.catchingUp = false;
  }

  #publish(replica: Replica): void {
    replica.published = replica.seen;
  }

  #beginWrite(replica: Replica): void {
    if (replica.write !== undefined) return;
    const renewTime = String(++this.#version);
    replica.sightings.sent(renewTime, this.#nowMs);
    const object = leaseOf(replica, reportOf(replica, this.#moment), renewTime);
    replica.write = { startMs: this.#nowMs, object };
  }

  /** An answer may be lost after the write. */
  #commitWrite(replica: Replica, isAnswered: boolean): void {
    const { write, renewedMs } = replica;
    replica.write = undefined;
    if (write === undefined || replica.isAway || this.#nowMs - write.startMs > 4_000) return;
    this.#leaseLog.push(write.object);
    this.#words.set(write.object.holder, write.object.report);
    if (!isAnswered) return;
    replica.renewedMs = write.startMs;
    const hasLapsed = renewedMs !== undefined && this.#nowMs - renewedMs >= LEASE_MS;
    if (hasLapsed && this.#safeguards.rereads) replica.catchingUp = true;
  }

  #hear(replica: Replica, events: number): void {
    if (replica.isAway) return;
    const upTo = Math.min(this.#leaseLog.length, replica.leaseCursor + events);
    for (const object of this.#leaseLog.slice(replica.leaseCursor, upTo))
      replica.leases.set(object.metadata.name, object);
    replica.leaseCursor = upTo;
    const before = replica.sightings.live();
    replica.sightings.observe(replica.leases.values(), this.#nowMs);
    const proxies = connectedIn([...before, ...replica.sightings.live()].map(({ report }) => report));
    replica.departures.note(proxies, this.#nowMs, replica.sightings.watchedToMs);
  }

  /** Whoever thinks that it leads: there may be two for a moment. */
  #decide(replica: Replica): void {
    if (replica.seen === undefined || replica.leaves !== undefined) return;
    const facts = factsOf(replica, this.#moment);
    const at = { nowMs: this.#nowMs, times: TIMES };
    const since = this.#stageSinceMs;
    const steps = (["exempting", "binding"] as const).map((stage) =>
      stepBinding({ stage, sinceMs: since }, "gradually", { ...facts, readyWaypoints: 1 }, at),
    );
    if (!steps.every(({ kind }) => kind === "go")) return;
    replica.leaves = replica.seen;
    for (const [z, ztunnel] of this.#ztunnels.entries())
      if (z < 2 && ztunnel.has !== undefined && ztunnel.has < replica.seen && ztunnel.isKnown)
        this.violation = `source ${z} is passed over in stage ${replica.seen}`;
  }

  #leave(replica: Replica): void {
    const { leaves } = replica;
    replica.leaves = undefined;
    if (leaves === undefined || replica.isAway || leaves !== this.stage) return;
    this.stage++;
    this.#stageSinceMs = this.#nowMs;
  }

  #check(): void {
    const words = this.#words;
    for (const [z, ztunnel] of this.#ztunnels.entries()) {
      const { at } = ztunnel;
      this.#note(
        ztunnel,
        at !== undefined && this.#audience(at) === "everybody" ? words.get(at.holder) : undefined,
        z,
      );
      // Sources that were passed over catch up whenever they can; nobody relies on them.
      if (z >= 2 && ztunnel.has !== undefined && ztunnel.has < this.stage - 1)
        this.violation = `destination ${z} acts by ${ztunnel.has} in stage ${this.stage}`;
    }
  }

  #note(ztunnel: Ztunnel, word: ReplicaObject["report"] | undefined, z: number): void {
    const isNamed =
      word?.ok === true && word.value.proxies.some((one) => one.podUid === uidOf(z) && !one.hasLeft);
    if (isNamed) ztunnel.reportedToMs = this.#nowMs;
    else ztunnel.reportedFromMs = this.#nowMs;
    const isLong = isNamed && this.#nowMs - ztunnel.reportedFromMs >= AWAY_MS;
    ztunnel.isKnown = isLong || (ztunnel.isKnown && this.#nowMs - ztunnel.reportedToMs < AWAY_MS);
  }
}
