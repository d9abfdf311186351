/**
 * HOT PATH. Step W6. Exactly one line per request, and per connection that carried none, whatever way it ended. Envoy's field names, then ours. Made as
 * text: what a caller's requests have in common is made once. Paths are logged without their query, which may hold secrets.
 */
import type { Decision, NotedMatch } from "#core/authz/decision.ts";
import { explainDecision } from "#core/authz/explain.ts";
import type { HttpField } from "#core/http/message.ts";
import type { Logger } from "#core/runtime/log.ts";
import type { Endpoint } from "../upstream/endpoint.ts";
import type { Judgement } from "../policy/verdict.ts";
import { type Reason, reasonFacts } from "../http/reasons.ts";
import { endpointText } from "./party-text.ts";

/** What every line has. */
export interface CallRecord {
  /** Made by `callerText`. */
  readonly caller: string;
  readonly endpoint: Endpoint | undefined;
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
  /** Until the head of the upstream's answer. */
  readonly upstreamMs: number | undefined;
  readonly retries: number;
}

export class AccessLog {
  readonly #log: Logger;

  constructor(log: Logger) {
    this.#log = log;
  }

  /** `record.id` is the request's. */
  request(record: RequestRecord): void {
    const level = levelOf(record.reason);
    if (!this.#log.isEnabled(level)) return;
    const { method, path, version, upstreamMs, authority, retries, status = 0 } = record;
    const id = JSON.stringify(record.id);
    let text = `"start_time":"${timeText(Math.floor(record.startedMs))}","method":"${method}"`;
    text += `,"path":${JSON.stringify(path)},"protocol":"HTTP/${version}","response_code":${status}`;
    text += endText(record, detailsOf(record));
    if (upstreamMs !== undefined) text += `,"upstream_service_time":${Math.round(upstreamMs)}`;
    text += fieldsText(record.fields);
    text += `,"request_id":${id},"authority":${JSON.stringify(authority)}`;
    text += `${endpointText(record.endpoint)},${record.caller}${verdictText(record)}`;
    if (retries > 0) text += `,"retries":${retries}`;
    this.#log.text(level, `${text},"decision_id":${id}`, "request complete");
  }

  /** A connection that is not HTTP, or that ended before it carried a request. */
  connection(record: CallRecord): void {
    const level = levelOf(record.reason);
    if (!this.#log.isEnabled(level)) return;
    const code = record.status === undefined ? "" : `,"response_code":${record.status}`;
    const details = HEAD_DETAILS.get(record.status ?? 0) ?? detailsOf(record);
    const text = `${code}${endText(record, details)}${endpointText(record.endpoint)},${record.caller}${verdictText(record)}`;
    const message = record.reason === undefined ? "connection complete" : "connection ended";
    this.#log.text(level, `${text.slice(1)},"decision_id":${JSON.stringify(record.id)}`, message);
  }
}

/** A caller that goes away is no concern of an operator. */
function levelOf(reason: Reason | undefined): "info" | "warn" {
  return reason === undefined || reason === "caller-gone" ? "info" : "warn";
}

/** Heads that were refused for what they are, by what they were told: Envoy has words of its own for them. */
const HEAD_DETAILS: ReadonlyMap<number, string> = new Map([
  [408, "request_header_timeout"],
  [414, "headers_too_large"],
  [431, "headers_too_large"],
]);

function endText(
  { reason, error, bytesReceived, bytesSent, durationMs }: CallRecord,
  details: string,
): string {
  const flag = reason === undefined ? "-" : reasonFacts(reason).flag;
  const text = `,"response_flags":"${flag}","response_code_details":${JSON.stringify(details)},"bytes_received":${bytesReceived},"bytes_sent":${bytesSent},"duration":${Math.round(durationMs)}`;
  return error === undefined || error === "" ? text : `${text},"error":${JSON.stringify(error)}`;
}

function detailsOf({ reason, judgement: { decision } }: CallRecord): string {
  if (reason === undefined) return "via_upstream";
  const { details, status } = reasonFacts(reason);
  if (status !== 403) return details;
  return `${details}[${decision?.reason === "matched-deny" ? `${decision.policy} rule ${decision.rule}` : "none"}]`;
}

function verdictText({ judgement, reason }: CallRecord): string {
  const { decision, noted } = judgement;
  let text = decision === undefined ? "" : decisionText(decision);
  if (noted.length > 0) text += notedText(noted);
  if (reason !== undefined) text += `,"reason":"${reason}","stage":"${reasonFacts(reason).stage}"`;
  return text;
}

function decisionText(decision: Decision): string {
  switch (decision.reason) {
    case "no-allow-policies":
      return "";
    case "matched-allow":
    case "matched-deny":
      return `,"policy":${JSON.stringify(decision.policy)},"rule":${decision.rule}`;
    case "no-allow-matched":
      return `,"explanation":${JSON.stringify(explainDecision(decision))}`;
    case "policy-missing":
      return `,"policy":${JSON.stringify(decision.missing.join(","))},"explanation":${JSON.stringify(explainDecision(decision))}`;
  }
}

/** Each once: a request that is sent again is judged again. */
function notedText(noted: readonly NotedMatch[]): string {
  const dryRuns = noted.filter(({ dryRun }) => dryRun).map(({ policy, action }) => `${policy}:${action}`);
  const audits = noted.filter(({ dryRun }) => !dryRun).map(({ policy, rule }) => `${policy} rule ${rule}`);
  return listText("dry_run", dryRuns) + listText("audit", audits);
}

function listText(key: string, items: readonly string[]): string {
  return items.length === 0 ? "" : `,"${key}":${JSON.stringify([...new Set(items)].join(","))}`;
}

/** In one pass; each key once, whatever a caller repeats. */
function fieldsText(fields: readonly HttpField[]): string {
  let userAgent: string | undefined;
  let forwardedFor: string | undefined;
  for (const { name, value } of fields) {
    if (name === "user-agent") userAgent ??= value;
    else if (name === "x-forwarded-for")
      forwardedFor = forwardedFor === undefined ? value : `${forwardedFor},${value}`;
  }
  const text = userAgent === undefined ? "" : agentText(userAgent);
  return forwardedFor === undefined ? text : `${text},"x_forwarded_for":${JSON.stringify(forwardedFor)}`;
}

let agent = "";
let agentJson = "";

/** Most requests have the one of the request before. */
function agentText(value: string): string {
  if (value !== agent) {
    agent = value;
    agentJson = `,"user_agent":${JSON.stringify(value)}`;
  }
  return agentJson;
}

let timedMs = 0;
let time = "";

function timeText(ms: number): string {
  if (ms !== timedMs) {
    timedMs = ms;
    time = new Date(ms).toISOString();
  }
  return time;
}
