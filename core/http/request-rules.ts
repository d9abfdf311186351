/**
 * HOT PATH, pure. The one judgement of a request's head, for HTTP/1 and HTTP/2 alike: what comes out may be shown to policy and forwarded. Reasons
 * are constant phrases: values may be secrets.
 */
import { isAuthority } from "./authority.ts";
import { type CollectedFields, collectFields } from "./collect-fields.ts";
import type { BodyFraming, Refusal, RequestHead } from "./message.ts";
import { readFraming } from "./message-framing.ts";
import { isRefusal, type RawRequest, refusal } from "./raw-head.ts";
import { methodProblem, readTarget } from "./request-target.ts";

export interface CheckedRequest extends RequestHead {
  /** HTTP/1: the caller sends no further request on this connection. HTTP/2: false. */
  readonly closes: boolean;
}

/** `fieldsRead`: names in lower case that the policy in force reads; nobody may hide or imitate those. */
export function checkRequest(
  raw: RawRequest,
  fieldsRead: ReadonlySet<string> = NO_FIELDS,
): CheckedRequest | Refusal {
  const { version, method } = raw;
  const collected = collectFields(raw.fields, "request", fieldsRead);
  if (typeof collected === "string") return refusal(400, collected);
  const problem = methodProblem(method) ?? versionProblem(raw, collected) ?? expectProblem(collected);
  if (problem !== undefined) return problem;
  const authority = readAuthority(raw.authority, collected.host);
  if (typeof authority !== "string") return authority;
  const target = readTarget(method, raw.target, authority, version);
  if (typeof target !== "string") return target;
  const body = requestBody(raw, collected);
  return isRefusal(body) ? body : checkedHead({ raw, collected, authority, target, body });
}

interface Parts {
  readonly raw: RawRequest;
  readonly collected: CollectedFields;
  readonly authority: string;
  readonly target: string;
  readonly body: BodyFraming;
}

function checkedHead({ raw, collected, authority, target, body }: Parts): CheckedRequest | Refusal {
  const { version, method } = raw;
  const websocket = version === "1.1" && collected.websocket;
  if (websocket && !(method === "GET" && isEmpty(body))) return BAD_UPGRADE;
  return {
    version,
    method,
    target,
    authority,
    scheme: raw.scheme === "https" ? "https" : "http",
    fields: collected.fields,
    body: websocket ? NONE : body,
    upgrade: websocket ? "websocket" : undefined,
    // RFC 9110 10.1.1: ignored from a caller that speaks 1.0.
    expectsContinue: collected.expect !== undefined && version !== "1.0",
    closes: version !== "2" && (collected.closes || version === "1.0"),
  };
}

function versionProblem(raw: RawRequest, collected: CollectedFields): Refusal | undefined {
  if (raw.version !== "2") return undefined;
  if (collected.connectionSpecific) return CONNECTION_SPECIFIC;
  return raw.scheme === "http" || raw.scheme === "https" ? undefined : BAD_SCHEME;
}

function expectProblem({ expect, expectLines }: CollectedFields): Refusal | undefined {
  if (expect === undefined) return undefined;
  return expectLines === 1 && expect.toLowerCase() === "100-continue" ? undefined : BAD_EXPECT;
}

function readAuthority(pseudo: string | undefined, host: string | undefined): string | Refusal {
  const authority = pseudo ?? host;
  if (authority === undefined) return NO_HOST;
  if (!isAuthority(authority)) return BAD_HOST;
  const agrees = host === undefined || host.toLowerCase() === authority.toLowerCase();
  return agrees ? authority : OTHER_HOST;
}

function requestBody(raw: RawRequest, collected: CollectedFields): BodyFraming | Refusal {
  const framing = readFraming(collected);
  switch (framing.kind) {
    case "bad":
      return refusal(400, framing.reason);
    case "unknown-coding":
      return raw.version === "1.0" ? CODING_IN_1_0 : UNKNOWN_CODING;
    case "chunked":
      return raw.version === "1.0" ? CODING_IN_1_0 : MARKED;
    case "length":
      if (raw.ended) return framing.bytes === 0 ? framing : LENGTH_WITHOUT_BODY;
      return framing;
    case "absent":
      return raw.version === "2" && !raw.ended ? MARKED : NONE;
  }
}

function isEmpty(body: BodyFraming): boolean {
  return body.kind === "none" || (body.kind === "length" && body.bytes === 0);
}

const NO_FIELDS: ReadonlySet<string> = new Set();
const NONE: BodyFraming = { kind: "none" };
const MARKED: BodyFraming = { kind: "marked" };
const CONNECTION_SPECIFIC = refusal(400, "connection-specific field in HTTP/2");
const BAD_SCHEME = refusal(400, "scheme is neither http nor https");
const BAD_EXPECT = refusal(417, "expectation other than 100-continue");
const NO_HOST = refusal(400, "no host");
const BAD_HOST = refusal(400, "host is not one name or address with at most a port");
const OTHER_HOST = refusal(400, "host contradicts :authority");
const CODING_IN_1_0 = refusal(400, "transfer-encoding in HTTP/1.0");
const UNKNOWN_CODING = refusal(501, "transfer coding that is not known here");
const LENGTH_WITHOUT_BODY = refusal(400, "content-length without a body");
const BAD_UPGRADE = refusal(400, "upgrade to websocket with a body or another method than GET");
