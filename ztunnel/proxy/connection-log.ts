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
import type { MetricSubject, ProxyMetrics } from "./metrics.ts";
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

export class ConnectionLog {
  readonly #deps: ConnectionLogDeps;
  #next = 1;
  #alive = 0;

  constructor(deps: ConnectionLogDeps) {
    this.#deps = deps;
  }

  /** Connections opened and not finished. */
  get alive(): number {
    return this.#alive;
  }

  open(record: ConnectionRecord): OpenConnection {
    this.#alive++;
    const { log, metrics, monotonicMs } = this.#deps;
    const id = `${PROCESS_ID}-${(this.#next++).toString(36)}`;
    const openedMs = monotonicMs();
    let subjects: readonly MetricSubject[] = [];
    let finished = false;
    return {
      id,
      record,
      openedMs,
      established: () => {
        subjects = metricSubjects(record);
        for (const subject of subjects) metrics.opened(subject);
      },
      finish: (end) => {
        if (finished) return;
        finished = true;
        this.#alive--;
        const counts = { sent: end.bytesSent ?? 0, received: end.bytesReceived ?? 0 };
        for (const subject of subjects) metrics.closed(subject, responseFlag(end.reason), counts);
        const fields = accessFields(record, end, { id, durationMs: monotonicMs() - openedMs });
        const message = subjects.length > 0 ? "connection complete" : "connection failed";
        // An application that resets its own connection is no concern of an operator.
        if (responseFlag(end.reason) === "-") log.info(fields, message);
        else log.warn(fields, message);
      },
    };
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

/** Bytes from the point of view of the reporter's own application, as Istio logs them. */
function accessFields(
  record: ConnectionRecord,
  end: ConnectionEnd,
  facts: { readonly id: string; readonly durationMs: number },
): LogFields {
  const inbound = record.direction === "inbound";
  const { bytesSent = 0, bytesReceived = 0 } = end;
  return withoutAbsent({
    "src.addr": formatSocketAddress(record.source),
    ...sideFields("src", record.sourceWorkload, record.sourceIdentity),
    "dst.addr": formatSocketAddress(record.destination),
    "dst.hbone_addr": record.hboneAuthority,
    "dst.service": record.service?.hostname,
    ...sideFields("dst", record.destinationWorkload, record.destinationIdentity),
    direction: record.direction,
    bytes_sent: inbound ? bytesReceived : bytesSent,
    bytes_recv: inbound ? bytesSent : bytesReceived,
    duration: `${Math.round(facts.durationMs)}ms`,
    error: end.error ?? end.reason,
    ...verdictFields(record, end),
    "src.cert_serial": record.sourceSerial,
    "dst.cert_serial": record.destinationSerial,
    protocol: record.protocol,
    decision_id: facts.id,
  });
}

function verdictFields({ trace }: ConnectionRecord, { reason, stage }: ConnectionEnd): LogFields {
  return {
    policy: trace?.policy,
    rule: trace?.rule,
    nearest: trace?.nearest,
    dry_run: trace?.dryRun,
    reason,
    stage: stage ?? (reason === undefined ? undefined : reasonFacts(reason).stage),
  };
}

function sideFields(
  side: "src" | "dst",
  workload: Workload | undefined,
  identity: SpiffeId | undefined,
): LogFields {
  return {
    [`${side}.workload`]: workload?.name,
    [`${side}.namespace`]: workload?.namespace,
    [`${side}.identity`]: identity,
    [`${side}.cluster`]: workload?.clusterId,
  };
}

function withoutAbsent(fields: LogFields): LogFields {
  return Object.fromEntries(
    Object.entries(fields).filter(([, value]) => value !== undefined && value !== ""),
  );
}
