import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { firstValue } from "../http2/hpack/header-field.ts";
import { readRequestHead } from "../http2/header-rules.ts";
import { formatIp } from "../net/ip.ts";
import { formatBaggage, parseBaggage } from "./baggage.ts";
import {
  type ConnectTarget,
  connectHeaders,
  formatForwarded,
  formatTarget,
  forwardedHost,
  parseTarget,
  readConnect,
} from "./connect-request.ts";
import { newTraceparent, parseTraceparent, traceId } from "./trace-context.ts";

describe("authority of a CONNECT", () => {
  const refused = [
    "",
    "10.0.0.1",
    "10.0.0.1:",
    "10.0.0.1:0",
    "10.0.0.1:65536",
    "10.0.0.1:+80",
    "10.0.0.1: 80",
    "2001:db8::1:80",
    "[10.0.0.1]:80",
    "[::1]",
    "[::1%eth0]:80",
    "a b:80",
    "a..b:80",
    "-a:80",
    "user@host:80",
    "host:80/x",
    "http://host:80",
    ":80",
    "10.0.0.256:80",
    "1.2.3:80",
    `${"a".repeat(254)}:80`,
  ];
  for (const text of refused)
    it(`refuses ${JSON.stringify(text.slice(0, 40))}`, () => assert.equal(parseTarget(text).ok, false));

  it("reads what it writes", () => {
    const anyIp = fc
      .oneof(fc.uint8Array({ minLength: 4, maxLength: 4 }), fc.uint8Array({ minLength: 16, maxLength: 16 }))
      .map(formatIp);
    const port = fc.integer({ min: 1, max: 65_535 });
    const label = fc.stringMatching(/^[a-z][a-z0-9-]{0,10}[a-z0-9]$/);
    const target: fc.Arbitrary<ConnectTarget> = fc.oneof(
      fc.tuple(anyIp, port).map(([ip, p]) => ({ kind: "address", address: { ip, port: p } }) as const),
      fc
        .tuple(fc.array(label, { minLength: 1, maxLength: 4 }), port)
        .map(([labels, p]) => ({ kind: "hostname", hostname: labels.join("."), port: p }) as const),
    );
    fc.assert(
      fc.property(target, (value) => {
        assert.deepEqual(parseTarget(formatTarget(value)), { ok: true, value });
        const fields = connectHeaders({ target: value, baggage: "a=b" });
        const head = readRequestHead(fields);
        assert.ok(head.kind === "connect");
        const outcome = readConnect(head, fields);
        assert.ok(outcome.kind === "connect");
        assert.deepEqual(
          [outcome.request.target, outcome.request.baggage, firstValue(fields, ":method")],
          [value, "a=b", "CONNECT"],
        );
      }),
    );
  });

  it("takes any text without throwing", () => {
    fc.assert(fc.property(fc.string({ maxLength: 300, unit: "binary" }), (text) => void parseTarget(text)));
  });
});

describe("labels of a CONNECT", () => {
  it("writes and reads baggage as Istio does", () => {
    const fields = {
      clusterId: "Kubernetes",
      namespace: "default",
      workloadType: "pod",
      workloadName: "sleep",
      serviceName: "sleep",
      serviceVersion: "latest",
      region: "r",
      zone: "z",
    };
    const text =
      "k8s.cluster.name=Kubernetes,k8s.namespace.name=default,k8s.pod.name=sleep,service.name=sleep,service.version=latest,cloud.region=r,cloud.availability_zone=z";
    assert.equal(formatBaggage(fields), text);
    assert.deepEqual(parseBaggage(text), fields);
    assert.deepEqual(parseBaggage("service.name=,x=1,service.name=a=b,cloud.region=é"), {});
    assert.deepEqual(parseBaggage("service.name=,x=1,service.name=a=b,__proto__=y"), { serviceName: "a" });
    assert.equal(formatBaggage({ serviceName: "a,b", namespace: "n\r\nx", zone: "" }), "");
  });

  it("writes forwarded and traceparent", () => {
    const client = { ip: formatIp(Uint8Array.of(10, 0, 0, 5)), port: 40_000 };
    assert.equal(formatForwarded(client, "web.shop"), 'for="10.0.0.5:40000";host=web.shop');
    assert.equal(forwardedHost('for="x";host="web.shop"'), "web.shop");
    assert.equal(forwardedHost('for="x"'), undefined);
    const parent = newTraceparent();
    assert.equal(parseTraceparent(parent), parent);
    assert.equal(traceId(parent).length, 32);
    assert.notEqual(newTraceparent(), parent);
    for (const bad of ["", "00-0", `00-${"0".repeat(32)}-${"1".repeat(16)}-00`, `${parent}x`])
      assert.equal(parseTraceparent(bad), undefined);
  });
});
