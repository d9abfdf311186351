/** Pure. The request of the load, as text and as values, and the answer of the upstream. */
import type { HttpField, RequestHead } from "#core/http/message.ts";

const HOST = "shop.bench.svc.cluster.local";
/** The field that every proxy's rule asks for. */
export const RULE_FIELD: HttpField = { name: "x-tenant", value: "bench" };
const BODY_BYTES = 1_024;

const FIRST: readonly HttpField[] = [
  { name: "user-agent", value: "bench-load/1.0" },
  { name: "accept", value: "*/*" },
  RULE_FIELD,
];

/** As browsers and meshes send them. */
const MORE: readonly HttpField[] = [
  { name: "accept-encoding", value: "gzip, deflate, br, zstd" },
  { name: "accept-language", value: "en-GB,en;q=0.9,de;q=0.8,fr;q=0.7" },
  { name: "cache-control", value: "no-cache" },
  { name: "cookie", value: "session=0123456789abcdef0123456789abcdef; theme=dark; region=eu-central-1" },
  { name: "authorization", value: "Bearer eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJiZW5jaCJ9.c2lnbmF0dXJl" },
  { name: "origin", value: "https://shop.example" },
  { name: "referer", value: "https://shop.example/catalog/lanterns?page=3" },
  { name: "sec-fetch-dest", value: "empty" },
  { name: "sec-fetch-mode", value: "cors" },
  { name: "sec-fetch-site", value: "same-origin" },
  { name: "traceparent", value: "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01" },
  { name: "x-request-start", value: "t=1767225600123" },
  { name: "x-client-version", value: "web-2026.01.3" },
  { name: "x-device", value: "desktop; linux; x86_64" },
  { name: "x-feature-set", value: "a,b,c,experiments-17,experiments-23" },
  { name: "priority", value: "u=1, i" },
];

const PATH = "/items/lantern?page=3&sort=price";

/** With `host`, `count` fields. */
export function requestFields(count: 4 | 20): readonly HttpField[] {
  return count === 4 ? FIRST : [...FIRST, ...MORE];
}

export function requestText(count: 4 | 20): Buffer {
  const lines = requestFields(count).map(({ name, value }) => `${name}: ${value}`);
  return Buffer.from([`GET ${PATH} HTTP/1.1`, `host: ${HOST}`, ...lines, "", ""].join("\r\n"));
}

export function requestHead(count: 4 | 20): RequestHead {
  return {
    version: "2",
    method: "GET",
    target: PATH,
    authority: HOST,
    scheme: "http",
    fields: requestFields(count),
    body: { kind: "none" },
    upgrade: undefined,
    expectsContinue: false,
  };
}

export const ANSWER_FIELDS: readonly HttpField[] = [
  { name: "server", value: "bench" },
  { name: "content-type", value: "application/json" },
  { name: "cache-control", value: "no-store" },
];
export const ANSWER_BODY: Buffer = Buffer.alloc(BODY_BYTES, "x");

export function answerText(): Buffer {
  const lines = ANSWER_FIELDS.map(({ name, value }) => `${name}: ${value}`);
  const head = ["HTTP/1.1 200 OK", ...lines, `content-length: ${BODY_BYTES}`, "", ""].join("\r\n");
  return Buffer.concat([Buffer.from(head), ANSWER_BODY]);
}
