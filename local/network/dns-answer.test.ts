import assert from "node:assert/strict";
import { test } from "node:test";
import {
  decode,
  encode,
  type Packet,
  RECURSION_DESIRED,
  type RecordType,
  TRUNCATED_RESPONSE,
} from "dns-packet";
import fc from "fast-check";
import { answerQuery } from "./dns-answer.ts";
import { buildZone } from "./dns-zone.ts";
import type { EndpointSliceObject, ServiceObject } from "./service-ports.ts";

const services: readonly ServiceObject[] = [
  {
    metadata: { name: "web", namespace: "shop" },
    spec: { clusterIPs: ["10.96.0.20", "fd96::20"], ports: [{ name: "http", port: 80 }] },
  },
  { metadata: { name: "v4only", namespace: "shop" }, spec: { clusterIP: "10.96.0.21", ports: [] } },
  {
    metadata: { name: "hl", namespace: "shop" },
    spec: { clusterIP: "None", ports: [{ name: "http", port: 80 }] },
  },
  { metadata: { name: "big", namespace: "shop" }, spec: { clusterIP: "None", ports: [] } },
  {
    metadata: { name: "ext", namespace: "shop" },
    spec: { type: "ExternalName", externalName: "example.org" },
  },
];
function slice(service: string, endpoints: EndpointSliceObject["endpoints"]): EndpointSliceObject {
  return {
    metadata: { name: service, namespace: "shop", labels: { "kubernetes.io/service-name": service } },
    addressType: "IPv4",
    endpoints: endpoints ?? [],
    ports: [{ name: "http", port: 8080 }],
  };
}
const many = Array.from({ length: 100 }, (_, i) => ({ addresses: [`10.244.1.${i + 1}`] }));
const zone = buildZone(services, [
  slice("hl", [
    { addresses: ["10.244.1.2"], hostname: "hl-0" },
    { addresses: ["10.244.2.2"] },
    { addresses: ["10.244.3.3"], conditions: { ready: false } },
  ]),
  slice("big", many),
]);

const RCODES = ["NOERROR", "FORMERR", "SERVFAIL", "NXDOMAIN", "NOTIMP"];

function ask(
  name: string,
  type: RecordType,
  extra: Partial<Packet> = {},
  transport: "udp" | "tcp" = "udp",
): Packet & { readonly code: string } {
  const query = encode({
    type: "query",
    id: 7,
    flags: RECURSION_DESIRED,
    questions: [{ type, name }],
    ...extra,
  });
  const answer = answerQuery(query, zone, transport);
  assert.ok(answer !== undefined);
  const packet = decode(Buffer.from(answer));
  return { ...packet, code: RCODES[(packet.flags ?? 0) & 15] ?? "" };
}
function data(packet: Packet): readonly unknown[] {
  return (packet.answers ?? []).map((record) => ("data" in record ? record.data : undefined));
}

const S = "shop.svc.cluster.local";
const cases: readonly {
  readonly name: string;
  readonly type: RecordType;
  readonly code: string;
  readonly data: readonly unknown[];
}[] = [
  { name: `web.${S}`, type: "A", code: "NOERROR", data: ["10.96.0.20"] },
  { name: `WEB.${S.toUpperCase()}`, type: "A", code: "NOERROR", data: ["10.96.0.20"] },
  { name: `web.${S}`, type: "AAAA", code: "NOERROR", data: ["fd96::20"] },
  { name: `v4only.${S}`, type: "AAAA", code: "NOERROR", data: [] },
  { name: `web.${S}`, type: "MX", code: "NOERROR", data: [] },
  { name: `hl.${S}`, type: "A", code: "NOERROR", data: ["10.244.1.2", "10.244.2.2"] },
  { name: `hl-0.hl.${S}`, type: "A", code: "NOERROR", data: ["10.244.1.2"] },
  { name: `10-244-2-2.hl.${S}`, type: "A", code: "NOERROR", data: ["10.244.2.2"] },
  { name: `ext.${S}`, type: "A", code: "NOERROR", data: ["example.org"] },
  { name: "svc.cluster.local", type: "A", code: "NOERROR", data: [] },
  { name: S, type: "A", code: "NOERROR", data: [] },
  { name: `nothing.${S}`, type: "A", code: "NXDOMAIN", data: [] },
  { name: "web.nowhere.svc.cluster.local", type: "A", code: "NXDOMAIN", data: [] },
  { name: `web.${S}.${S}`, type: "A", code: "NXDOMAIN", data: [] },
  { name: `_http._udp.web.${S}`, type: "SRV", code: "NXDOMAIN", data: [] },
  { name: "example.org", type: "A", code: "SERVFAIL", data: [] },
  {
    name: `_http._tcp.web.${S}`,
    type: "SRV",
    code: "NOERROR",
    data: [{ priority: 0, weight: 100, port: 80, target: `web.${S}` }],
  },
];
for (const c of cases) {
  test(`${c.name} ${c.type} is ${c.code} with ${c.data.length} records`, () => {
    const answer = ask(c.name, c.type);
    assert.equal(answer.code, c.code);
    assert.deepEqual(data(answer), c.data);
  });
}

test("headless services answer SRV with a target per endpoint", () => {
  const targets = data(ask(`_http._tcp.hl.${S}`, "SRV")).map(
    (record) => (record as { readonly target: string; readonly port: number }).target,
  );
  assert.deepEqual(targets, [`hl-0.hl.${S}`, `10-244-2-2.hl.${S}`]);
});

test("negative answers carry an SOA, positive ones do not", () => {
  assert.equal(ask(`nothing.${S}`, "A").authorities?.[0]?.type, "SOA");
  assert.equal(ask(`web.${S}`, "A").authorities?.length, 0);
});

test("what does not fit into UDP is cut with the TC bit; TCP and EDNS get it whole", () => {
  const cut = ask(`big.${S}`, "A");
  assert.ok(((cut.flags ?? 0) & TRUNCATED_RESPONSE) !== 0);
  assert.equal(cut.answers?.length, 0);
  assert.equal(ask(`big.${S}`, "A", {}, "tcp").answers?.length, 100);
  const opt = {
    type: "OPT" as const,
    name: ".",
    udpPayloadSize: 4096,
    extendedRcode: 0,
    ednsVersion: 0,
    flags: 0,
    flag_do: false,
    options: [],
  };
  assert.ok(
    ((ask(`big.${S}`, "A", { additionals: [opt] }).flags ?? 0) & TRUNCATED_RESPONSE) !== 0,
    "1232 bytes is the most",
  );
});

test("responses, empty packets and other opcodes are not answered as queries", () => {
  assert.equal(
    answerQuery(encode({ type: "response", id: 1, questions: [{ type: "A", name: "x" }] }), zone, "udp"),
    undefined,
  );
  assert.equal(answerQuery(encode({ type: "query", id: 1 }), zone, "udp"), undefined);
  assert.equal(ask(`web.${S}`, "A", { flags: 2 << 11 }).code, "NOTIMP");
});

test("arbitrary bytes never throw", () => {
  fc.assert(fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => void answerQuery(bytes, zone, "udp")));
  const good = encode({ type: "query", id: 7, questions: [{ type: "A", name: `web.${S}` }] });
  fc.assert(
    fc.property(fc.nat(good.length - 1), fc.nat(255), (at, value) => {
      const bytes = Buffer.from(good);
      bytes[at] = value;
      answerQuery(bytes, zone, "udp");
    }),
  );
});
