/**
 * Who was let in without mutual TLS within the last hour, by address and port: callers outside of the mesh, whom a workload refuses once a waypoint
 * stands before it. Bounded: what is too much is counted without an address.
 */
import { type Clock, systemClock } from "#core/base/clock.ts";
import type { Workload } from "#core/model/workload.ts";
import type { SocketAddress } from "#core/net/socket-address.ts";
import { Gauge, type Registry } from "prom-client";

const LABELS = [
  "source_address",
  "source_workload",
  "source_workload_namespace",
  "destination_workload",
  "destination_workload_namespace",
  "destination_port",
] as const;

type Labels = Readonly<Record<(typeof LABELS)[number], string>>;

/** A part of the window. One more than fit in it is kept, since the newest has just begun. */
const SLOT_MS = 5 * 60_000;
const WINDOW_MS = 60 * 60_000;
const SLOTS = WINDOW_MS / SLOT_MS + 1;
const MAX_CALLERS = 1_000;
/** Of callers that are counted without an address: one entry for a workload. */
const MAX_OTHERS = 1_000;

interface Entry {
  readonly labels: Labels;
  /** Connections by slot, in a ring. */
  readonly counts: Uint32Array;
  /** Number of the newest slot that is filled. */
  slot: number;
}

export interface Outsider {
  readonly source: SocketAddress;
  readonly sourceWorkload?: Workload | undefined;
  readonly destination: SocketAddress;
  readonly destinationWorkload?: Workload | undefined;
}

export class RecentOutsiders {
  readonly #clock: Clock;
  readonly #startedMs: number;
  readonly #callers = new Map<string, Entry>();
  readonly #others = new Map<string, Entry>();

  constructor(clock: Clock = systemClock) {
    this.#clock = clock;
    this.#startedMs = clock.monotonicMs();
  }

  /** HOT PATH: once per plaintext connection. */
  note(outsider: Outsider): void {
    const key = `${outsider.source.ip} ${outsider.destinationWorkload?.uid ?? ""} ${outsider.destination.port}`;
    const entry = this.#callers.get(key) ?? this.#newEntry(key, outsider);
    if (entry === undefined) return;
    const slot = this.#slot();
    turn(entry, slot);
    const place = slot % SLOTS;
    entry.counts[place] = (entry.counts[place] ?? 0) + 1;
  }

  register(registry: Registry): void {
    const recent: Gauge = new Gauge({
      name: "ambit_plaintext_connections_last_hour",
      help: "Connections let in without mutual TLS within the last hour, by caller",
      labelNames: LABELS,
      registers: [registry],
      collect: () => {
        recent.reset();
        this.#forgetOld();
        for (const { labels, counts } of [...this.#callers.values(), ...this.#others.values()])
          recent.set(labels, sum(counts));
      },
    });
    const window: Gauge = new Gauge({
      name: "ambit_plaintext_window_seconds",
      help: "How much of the last hour that is: less than an hour after a start",
      registers: [registry],
      collect: () => window.set(Math.floor(this.#windowMs() / 1_000)),
    });
  }

  #windowMs(): number {
    return Math.min(WINDOW_MS, this.#clock.monotonicMs() - this.#startedMs);
  }

  #slot(): number {
    return Math.floor(this.#clock.monotonicMs() / SLOT_MS);
  }

  #newEntry(key: string, outsider: Outsider): Entry | undefined {
    if (this.#callers.size >= MAX_CALLERS) this.#forgetOld();
    if (this.#callers.size < MAX_CALLERS) return put(this.#callers, key, labelsOf(outsider), this.#slot());
    const other = outsider.destinationWorkload?.uid ?? "";
    const known = this.#others.get(other);
    if (known !== undefined || this.#others.size >= MAX_OTHERS) return known;
    return put(this.#others, other, withoutCaller(labelsOf(outsider)), this.#slot());
  }

  #forgetOld(): void {
    const slot = this.#slot();
    for (const entries of [this.#callers, this.#others]) {
      for (const [key, entry] of entries) {
        turn(entry, slot);
        if (sum(entry.counts) === 0) entries.delete(key);
      }
    }
  }
}

/** Empties the slots since the newest one. */
function turn(entry: Entry, slot: number): void {
  for (let next = Math.max(entry.slot + 1, slot - SLOTS + 1); next <= slot; next++)
    entry.counts[next % SLOTS] = 0;
  entry.slot = Math.max(entry.slot, slot);
}

function sum(counts: Uint32Array): number {
  return counts.reduce((total, count) => total + count, 0);
}

function put(entries: Map<string, Entry>, key: string, labels: Labels, slot: number): Entry {
  const entry = { labels, counts: new Uint32Array(SLOTS), slot };
  entries.set(key, entry);
  return entry;
}

function labelsOf({ source, sourceWorkload, destination, destinationWorkload }: Outsider): Labels {
  return {
    source_address: source.ip,
    source_workload: sourceWorkload?.workloadName ?? "unknown",
    source_workload_namespace: sourceWorkload?.namespace ?? "unknown",
    destination_workload: destinationWorkload?.workloadName ?? "unknown",
    destination_workload_namespace: destinationWorkload?.namespace ?? "unknown",
    destination_port: String(destination.port),
  };
}

/** Its address and port are not known any more. */
function withoutCaller(labels: Labels): Labels {
  return {
    ...labels,
    source_address: "others",
    source_workload: "unknown",
    source_workload_namespace: "unknown",
    destination_port: "0",
  };
}
