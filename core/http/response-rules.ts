/** HOT PATH, pure. The one judgement of an upstream's answer, for HTTP/1 and HTTP/2 alike. A refusal here is a 502 to the caller. */
import { type CollectedFields, collectFields } from "./collect-fields.ts";
import type { BodyFraming, HttpField, Refusal, RequestHead, ResponseHead } from "./message.ts";
import { readFraming } from "./message-framing.ts";
import { isRefusal, type RawResponse, refusal } from "./raw-head.ts";

export interface CheckedResponse extends ResponseHead {
  /** HTTP/1: the upstream takes no further request on this connection. HTTP/2: false. */
  readonly closes: boolean;
}

export function checkResponse(
  raw: RawResponse,
  request: Pick<RequestHead, "method" | "upgrade">,
): CheckedResponse | Refusal {
  const { status } = raw;
  if (!(status >= 100 && status <= 599)) return BAD_STATUS;
  const collected = collectFields(raw.fields, "response", NO_FIELDS);
  if (typeof collected === "string") return refusal(502, collected);
  if (raw.version === "2" && collected.connectionSpecific) return CONNECTION_SPECIFIC;
  const body = answerBody(raw, collected, request);
  if (isRefusal(body)) return body;
  const hasKeptLength = body.kind === "none" && (status === 304 || request.method === "HEAD");
  return {
    status,
    fields: hasKeptLength ? withLength(collected) : collected.fields,
    body,
    closes: closes(raw, collected),
  };
}

/** RFC 9112 6.3, in its order; what the table leaves open is refused. */
function answerBody(
  raw: RawResponse,
  collected: CollectedFields,
  request: Pick<RequestHead, "method" | "upgrade">,
): BodyFraming | Refusal {
  const { status } = raw;
  if (status === 101) return isAwaitedUpgrade(raw, collected, request) ? TUNNEL : UNASKED_UPGRADE;
  // Whatever the framing fields say.
  if (status < 200 || status === 204) return NONE;
  const framing = readFraming(collected);
  if (framing.kind === "bad") return refusal(502, framing.reason);
  if (framing.kind === "unknown-coding") return UNKNOWN_CODING;
  if (framing.kind === "chunked" && raw.version === "1.0") return CODING_IN_1_0;
  if (request.method === "HEAD" || status === 304) return NONE;
  return bodyOf(framing, raw);
}

function isAwaitedUpgrade(
  raw: RawResponse,
  collected: CollectedFields,
  request: Pick<RequestHead, "upgrade">,
): boolean {
  return request.upgrade === "websocket" && collected.websocket && raw.version === "1.1";
}

function bodyOf(
  framing: { readonly kind: "chunked" } | { readonly kind: "absent" } | (BodyFraming & { kind: "length" }),
  raw: RawResponse,
): BodyFraming | Refusal {
  switch (framing.kind) {
    case "chunked":
      return MARKED;
    case "length":
      return raw.ended && framing.bytes > 0 ? LENGTH_WITHOUT_BODY : framing;
    case "absent":
      if (raw.version !== "2") return UNTIL_CLOSE;
      return raw.ended ? NONE : MARKED;
  }
}

/** There it tells about an answer that is not sent: registries and caches read it. */
function withLength({ fields, length }: CollectedFields): readonly HttpField[] {
  return length === undefined
    ? fields
    : [...fields, { name: "content-length", value: String(Number(length)) }];
}

function closes(raw: RawResponse, collected: CollectedFields): boolean {
  if (raw.version === "2") return false;
  return collected.closes || raw.version === "1.0";
}

const NO_FIELDS: ReadonlySet<string> = new Set();
const NONE: BodyFraming = { kind: "none" };
const MARKED: BodyFraming = { kind: "marked" };
const UNTIL_CLOSE: BodyFraming = { kind: "until-close" };
const TUNNEL: BodyFraming = { kind: "tunnel" };
const BAD_STATUS = refusal(502, "status outside 100 to 599");
const CONNECTION_SPECIFIC = refusal(502, "connection-specific field in HTTP/2");
const UNASKED_UPGRADE = refusal(502, "upgrade that nobody asked for");
const UNKNOWN_CODING = refusal(502, "transfer coding that is not known here");
const CODING_IN_1_0 = refusal(502, "transfer-encoding in HTTP/1.0");
const LENGTH_WITHOUT_BODY = refusal(502, "content-length without a body");
