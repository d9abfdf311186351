/**
 * Steps O11 and I10: each connection leaves exactly one line in the access log and one set of metrics, whatever way it
 * ended. The only writer of both. Keys and their order are those of Istio's ztunnel, then ours.
 */
import { randomBytes } from "node:crypto";
import type { Service } from "#core/model/service.ts";
import type { SpiffeId } from "#core/model/spiffe-id.ts";
import type { Workload } from "#core/model/workload.ts";
import { formatSocketAddress, type SocketAddress } from "#core/net/socket-address.ts";
import type { LogFields, Logger } from "#core/runtime/log.ts";
import type { PolicyTrace } from "./authorize.ts";
import type { MetricSubject, ProxyMetrics, SeriesGroup } from "./metrics.ts";
import { type Reason, reasonFacts, responseFlag, type Stage } from "./response-flag.ts";

/** Facts of one connection, filled in as its steps learn them. */
export interface ConnectionRecord {
  readonly direction: "inbound" | "outbound";
  protocol: "tcp" | "hbone" | "local";
  readonly source: SocketAddress;
  /** Where ztunnel's own connection goes: the next hop; for tunnels that arrive, our end of them. */
  destination: SocketAddress;
  /** What the application dialled. */
  originalDestination?: SocketAddress | undefined;
  /** The application's address behind an arriving tunnel. */
  application?: SocketAddress | undefined;
  sourceWorkload?: Workload | undefined;
  /** Only from mTLS (or from the listener's own pod), never guessed from an address. */
  sourceIdentity?: SpiffeId | undefined;
  sourceSerial?: string | undefined;
  /** `:authority` of the CONNECT. */
  hboneAuthority?: string | undefined;
  service?: Service | undefined;
  destinationWorkload?: Workload | undefined;
  destinationIdentity?: SpiffeId | undefined;
  destinationSerial?: string | undefined;
  /** Outbound: bound to a waypoint, which carries it on. */
  throughWaypoint?: boolean;
  trace?: PolicyTrace | undefined;
}

export interface ConnectionEnd {
  /** Absent: both sides ended it in order. */
  readonly reason?: Reason;
  /** Where it ended, when the reason's usual step is not the right one. */
  readonly stage?: Stage;
  /** For an operator. */
  readonly error?: string;
  /** Client to server and back, in bytes. */
  readonly bytesSent?: number;
  readonly bytesReceived?: number;
}

export interface OpenConnection {
  readonly id: string;
  readonly record: ConnectionRecord;
  readonly openedMs: number;
  /** Counts the connection as opened; before it only the log line is written. */
  established(): void;
  /** Writes the line. Later calls do nothing. */
  finish(end: ConnectionEnd): void;
}

export interface ConnectionLogDeps {
  readonly log: Logger;
  readonly metrics: ProxyMetrics;
  readonly monotonicMs: () => number;
}

const PROCESS_ID = randomBytes(6).toString("hex");
const NO_SERIES: readonly SeriesGroup[] = [];

export class ConnectionLog {
  readonly #deps: ConnectionLogDeps;
  #next = 1;
  #alive = 0;
  #tunnels = 0;

  constructor(deps: ConnectionLogDeps) {
    this.#deps = deps;
  }

  /** What counts against the limit: connections not finished, and tunnels, which take a descriptor whether they carry one or not. */
  get taken(): number {
    return this.#alive + this.#tunnels;
  }

  tunnelOpened(): void {
    this.#tunnels++;
  }

  tunnelClosed(): void {
    this.#tunnels--;
  }

  open(record: ConnectionRecord): OpenConnection {
    this.#alive++;
    return new LoggedConnection(this, this.#next++, record);
  }

  /** For the log's own connections. */
  get deps(): ConnectionLogDeps {
    return this.#deps;
  }

  /** For the log's own connections. */
  onFinished(): void {
    this.#alive--;
  }
}

/** One per open connection: no closures. */
class LoggedConnection implements OpenConnection {
  readonly record: ConnectionRecord;
  readonly openedMs: number;
  readonly #log: ConnectionLog;
  readonly #number: number;
  #series = NO_SERIES;
  #finished = false;

  constructor(log: ConnectionLog, number: number, record: ConnectionRecord) {
    this.#log = log;
    this.#number = number;
    this.record = record;
    this.openedMs = log.deps.monotonicMs();
  }

  get id(): string {
    return `${PROCESS_ID}-${this.#number.toString(36)}`;
  }

  /** Once, however often the connection is dialled anew. */
  established(): void {
    if (this.#series !== NO_SERIES) return;
    const { metrics } = this.#log.deps;
    this.#series = metricSubjects(this.record).map((subject) => metrics.opened(subject));
  }

  finish(end: ConnectionEnd): void {
    if (this.#finished) return;
    this.#finished = true;
    this.#log.onFinished();
    const { log, metrics, monotonicMs } = this.#log.deps;
    const flag = responseFlag(end.reason);
    const counts = { sent: end.bytesSent ?? 0, received: end.bytesReceived ?? 0 };
    for (const series of this.#series) metrics.closed(series, flag, counts);
    const fields = accessFields(this.record, end, { id: this.id, durationMs: monotonicMs() - this.openedMs });
    const message = this.#series.length > 0 ? "connection complete" : "connection failed";
    // An application that resets its own connection is no concern of an operator.
    if (flag === "-") log.info(fields, message);
    else log.warn(fields, message);
  }
}

/** A same-node connection is seen by both reporters. */
function metricSubjects(record: ConnectionRecord): readonly MetricSubject[] {
  const subject = {
    source: record.sourceWorkload,
    sourceIdentity: record.protocol === "tcp" ? undefined : record.sourceIdentity,
    destination: record.destinationWorkload,
    destinationIdentity: record.destinationIdentity,
    service: record.service,
    mutualTls: record.protocol === "hbone",
  };
  const source = { ...subject, reporter: "source" } as const;
  const destination = { ...subject, reporter: "destination" } as const;
  if (record.protocol === "local") return [source, destination];
  return [record.direction === "outbound" ? source : destination];
}

/** HOT PATH: once per connection. Bytes from the point of view of the reporter's own application, as Istio logs them. */
function accessFields(
  record: ConnectionRecord,
  end: ConnectionEnd,
  facts: { readonly id: string; readonly durationMs: number },
): LogFields {
  const inbound = record.direction === "inbound";
  const { bytesSent = 0, bytesReceived = 0 } = end;
  const fields: Record<string, unknown> = { "src.addr": formatSocketAddress(record.source) };
  addSide(fields, SOURCE_KEYS, record.sourceWorkload, record.sourceIdentity);
  add(fields, "dst.addr", formatSocketAddress(record.destination));
  add(fields, "dst.hbone_addr", record.hboneAuthority);
  add(fields, "dst.service", record.service?.hostname);
  addSide(fields, DESTINATION_KEYS, record.destinationWorkload, record.destinationIdentity);
  add(fields, "direction", record.direction);
  add(fields, "bytes_sent", inbound ? bytesReceived : bytesSent);
  add(fields, "bytes_recv", inbound ? bytesSent : bytesReceived);
  add(fields, "duration", `${Math.round(facts.durationMs)}ms`);
  add(fields, "error", end.error ?? end.reason);
  addVerdict(fields, record, end);
  add(fields, "src.cert_serial", record.sourceSerial);
  add(fields, "dst.cert_serial", record.destinationSerial);
  add(fields, "protocol", record.protocol);
  add(fields, "decision_id", facts.id);
  return fields;
}

function addVerdict(
  fields: Record<string, unknown>,
  { trace }: ConnectionRecord,
  { reason, stage }: ConnectionEnd,
): void {
  if (trace !== undefined) {
    add(fields, "policy", trace.policy);
    add(fields, "rule", trace.rule);
    add(fields, "nearest", trace.nearest);
    add(fields, "dry_run", trace.dryRun);
  }
  if (reason === undefined) return;
  add(fields, "reason", reason);
  add(fields, "stage", stage ?? reasonFacts(reason).stage);
}

const SOURCE_KEYS = sideKeys("src");
const DESTINATION_KEYS = sideKeys("dst");

interface SideKeys {
  readonly workload: string;
  readonly namespace: string;
  readonly identity: string;
  readonly cluster: string;
}

function sideKeys(side: "src" | "dst"): SideKeys {
  return {
    workload: `${side}.workload`,
    namespace: `${side}.namespace`,
    identity: `${side}.identity`,
    cluster: `${side}.cluster`,
  };
}

function addSide(
  fields: Record<string, unknown>,
  keys: SideKeys,
  workload: Workload | undefined,
  identity: SpiffeId | undefined,
): void {
  add(fields, keys.workload, workload?.name);
  add(fields, keys.namespace, workload?.namespace);
  add(fields, keys.identity, identity);
  add(fields, keys.cluster, workload?.clusterId);
}

/** What is absent or empty is left out. */
function add(fields: Record<string, unknown>, key: string, value: unknown): void {
  if (value !== undefined && value !== "") fields[key] = value;
}
