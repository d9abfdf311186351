/**
 * Step W6. Exactly one line per request, and per connection that carried none, whatever way it ended. Envoy's field names, then ours. Paths are
 * logged without their query, which may hold secrets.
 */
import type { DryRunMatch } from "#core/authz/decision.ts";
import { explainDecision } from "#core/authz/explain.ts";
import type { HttpField } from "#core/http/message.ts";
import type { Service } from "#core/model/service.ts";
import type { SpiffeId } from "#core/model/spiffe-id.ts";
import type { Workload } from "#core/model/workload.ts";
import { formatSocketAddress, type SocketAddress } from "#core/net/socket-address.ts";
import type { LogFields, Logger } from "#core/runtime/log.ts";
import type { Judgement } from "../policy/verdict.ts";
import { type Reason, reasonFacts, type Stage } from "../http/reasons.ts";

/** What every line has. */
export interface CallRecord {
  readonly source: SocketAddress;
  readonly sourceIdentity: SpiffeId | undefined;
  readonly sourceWorkload: Workload | undefined;
  /** `:authority` of the CONNECT. */
  readonly dialled: string;
  readonly service: Service | undefined;
  readonly endpoint: { readonly workload: Workload; readonly address: SocketAddress } | undefined;
  readonly endpointIdentity: SpiffeId | undefined;
  readonly judgement: Judgement;
  /** Absent: it ended as intended. */
  readonly reason: Reason | undefined;
  /** For an operator. */
  readonly error: string | undefined;
  readonly bytesReceived: number;
  readonly bytesSent: number;
  readonly durationMs: number;
  readonly id: string;
  /** 0: the caller was told nothing; undefined: nothing of HTTP. */
  readonly status: number | undefined;
}

export interface RequestRecord extends CallRecord {
  readonly startedMs: number;
  readonly method: string;
  /** Without the query. */
  readonly path: string;
  readonly authority: string;
  readonly version: string;
  readonly fields: readonly HttpField[];
  readonly requestId: string;
  /** Until the head of the upstream's answer. */
  readonly upstreamMs: number | undefined;
  readonly retries: number;
}

type Fields = Record<string, unknown>;

export class AccessLog {
  readonly #log: Logger;

  constructor(log: Logger) {
    this.#log = log;
  }

  request(record: RequestRecord): void {
    if (!this.#log.isEnabled("info")) return;
    const fields: Fields = {
      start_time: new Date(record.startedMs).toISOString(),
      method: record.method,
      path: record.path,
      protocol: PROTOCOLS[record.version] ?? record.version,
      response_code: record.status,
    };
    addEnd(fields, record);
    add(fields, "upstream_service_time", rounded(record.upstreamMs));
    addCallerFields(fields, record.fields);
    add(fields, "request_id", record.requestId);
    add(fields, "authority", record.authority);
    addPeers(fields, record);
    addVerdict(fields, record);
    if (record.retries > 0) fields["retries"] = record.retries;
    this.#write(fields, record, "request complete");
  }

  /** A connection that is not HTTP, or that ended before it carried a request. */
  connection(record: CallRecord, stage?: Stage): void {
    if (!this.#log.isEnabled("info")) return;
    const fields: Fields = {};
    add(fields, "response_code", record.status);
    addEnd(fields, record);
    addPeers(fields, record);
    addVerdict(fields, record);
    if (stage !== undefined) fields["stage"] = stage;
    this.#write(fields, record, record.reason === undefined ? "connection complete" : "connection ended");
  }

  #write(fields: LogFields, { reason }: CallRecord, message: string): void {
    if (reason === undefined || reason === "caller-gone") this.#log.info(fields, message);
    else this.#log.warn(fields, message);
  }
}

const PROTOCOLS: Readonly<Record<string, string>> = { "1.0": "HTTP/1.0", "1.1": "HTTP/1.1", "2": "HTTP/2" };

function addEnd(fields: Fields, record: CallRecord): void {
  const { reason } = record;
  fields["response_flags"] = reason === undefined ? "-" : reasonFacts(reason).flag;
  fields["response_code_details"] = reason === undefined ? "via_upstream" : details(reason, record.judgement);
  fields["bytes_received"] = record.bytesReceived;
  fields["bytes_sent"] = record.bytesSent;
  fields["duration"] = rounded(record.durationMs);
  add(fields, "error", record.error);
}

function addPeers(fields: Fields, record: CallRecord): void {
  const { endpoint, sourceWorkload } = record;
  if (endpoint !== undefined) fields["upstream_host"] = formatSocketAddress(endpoint.address);
  fields["downstream_local_address"] = record.dialled;
  fields["downstream_remote_address"] = formatSocketAddress(record.source);
  add(fields, "src.identity", record.sourceIdentity);
  add(fields, "src.workload", sourceWorkload?.name);
  add(fields, "src.namespace", sourceWorkload?.namespace);
  add(fields, "dst.service", record.service?.hostname);
  add(fields, "dst.workload", endpoint?.workload.name);
  add(fields, "dst.namespace", endpoint?.workload.namespace);
  add(fields, "dst.identity", record.endpointIdentity);
}

function addVerdict(fields: Fields, { judgement, reason, id }: CallRecord): void {
  const { decision, dryRun } = judgement;
  if (decision !== undefined && decision.reason !== "no-allow-policies") {
    if ("policy" in decision) {
      fields["policy"] = decision.policy;
      fields["rule"] = decision.rule;
    } else {
      fields["explanation"] = explainDecision(decision);
      if (decision.reason === "policy-missing") fields["policy"] = decision.missing[0];
    }
  }
  if (dryRun !== undefined && dryRun.length > 0) fields["dry_run"] = dryRun.map(dryRunText).join(",");
  if (reason !== undefined) {
    fields["reason"] = reason;
    fields["stage"] = reasonFacts(reason).stage;
  }
  fields["decision_id"] = id;
}

function dryRunText({ policy, action }: DryRunMatch): string {
  return `${policy}:${action}`;
}

function details(reason: Reason, { decision }: Judgement): string {
  const text = reasonFacts(reason).details;
  if (reasonFacts(reason).status !== 403) return text;
  const matched = decision?.reason === "matched-deny" ? `${decision.policy} rule ${decision.rule}` : "none";
  return `${text}[${matched}]`;
}

/** In one pass. */
function addCallerFields(fields: Fields, received: readonly HttpField[]): void {
  for (const { name, value } of received) {
    if (name === "user-agent") fields["user_agent"] = value;
    else if (name === "x-forwarded-for") fields["x_forwarded_for"] = value;
  }
}

function rounded(ms: number | undefined): number | undefined {
  return ms === undefined ? undefined : Math.round(ms);
}

/** What is absent or empty is left out. */
function add(fields: Fields, key: string, value: unknown): void {
  if (value !== undefined && value !== "") fields[key] = value;
}
