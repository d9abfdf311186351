/** HOT PATH, pure. Heads of core/http as header lists of HTTP/2, and back. */
import type { HttpField, RequestHead, ResponseHead } from "../http/message.ts";
import type { RawRequest, RawResponse } from "../http/raw-head.ts";
import type { RequestHead as PseudoHead } from "./header-rules.ts";
import { type FieldToSend, headerField, type HeaderField } from "./hpack/header-field.ts";

export type PlainRequest = Extract<PseudoHead, { readonly kind: "request" }>;

/** `fields`: well-formed by `header-rules.ts`, so that pseudo fields come first. */
export function rawRequest(head: PlainRequest, fields: readonly HeaderField[], ended: boolean): RawRequest {
  return {
    version: "2",
    method: head.method,
    target: head.path,
    scheme: head.scheme,
    authority: head.authority,
    fields: joinCookies(regularFields(fields)),
    ended,
  };
}

export function rawResponse(fields: readonly HeaderField[], ended: boolean): RawResponse {
  const status = Number(fields[0]?.name === ":status" ? fields[0].value : Number.NaN);
  return { version: "2", status, fields: regularFields(fields), ended };
}

export function requestFields(head: RequestHead): readonly FieldToSend[] {
  const fields: FieldToSend[] = [
    headerField(":method", head.method),
    headerField(":scheme", head.scheme),
    headerField(":authority", head.authority),
    headerField(":path", head.target),
  ];
  for (const field of head.fields) fields.push(field);
  if (head.body.kind === "length") fields.push(lengthField(head.body.bytes));
  if (head.expectsContinue) fields.push(EXPECT_CONTINUE);
  return fields;
}

export function responseFields({ status, fields, body }: ResponseHead): readonly FieldToSend[] {
  const list: FieldToSend[] = [statusField(status)];
  for (const field of fields) list.push(field);
  if (body.kind === "length") list.push(lengthField(body.bytes));
  return list;
}

export function lengthField(bytes: number): FieldToSend {
  return headerField("content-length", String(bytes));
}

export function statusField(status: number): HeaderField {
  return (STATUS[status] ??= headerField(":status", String(status)));
}

function regularFields(fields: readonly HeaderField[]): readonly HeaderField[] {
  let pseudo = 0;
  while (fields[pseudo]?.name.charCodeAt(0) === COLON) pseudo++;
  return fields.slice(pseudo);
}

/** RFC 9113 8.2.3: crumbs of one field, in whatever version it travels on; policy and log see it whole. */
function joinCookies(fields: readonly HttpField[]): readonly HttpField[] {
  let crumbs = 0;
  for (const { name } of fields) if (name === "cookie") crumbs++;
  if (crumbs < 2) return fields;
  const whole = fields.flatMap(({ name, value }) => (name === "cookie" ? [value] : [])).join("; ");
  const first = fields.findIndex(({ name }) => name === "cookie");
  return fields.flatMap((field, i) => {
    if (field.name !== "cookie") return [field];
    return i === first ? [headerField("cookie", whole, true)] : [];
  });
}

const COLON = 0x3a;
const EXPECT_CONTINUE = headerField("expect", "100-continue");
const STATUS: HeaderField[] = [];
