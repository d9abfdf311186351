/** Byte vectors of Istio's messages, and every reason for which a message is refused. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Parsed } from "../base/parse-result.ts";
import { podUid, policyKey, serviceKey } from "../model/ids.ts";
import { ip } from "../net/ip.ts";
import { aMatch, anAuthorizationOf, aService, aStrictPolicy, aWorkload } from "../testing/builders.ts";
import { addressResourceName, decodeAddress, encodeAddress } from "./address-codec.ts";
import { decodeAuthorization, encodeAuthorization } from "./authorization-codec.ts";
import { decodeCertificateRequest, decodeCertificateResponse } from "./ca-codec.ts";
import { ProtoWriter } from "./proto-writer.ts";
import { decodeDeltaRequest, decodeDeltaResponse } from "./xds-codec.ts";
import {
  decodeZdsAck,
  decodeZdsHello,
  decodeZdsRequest,
  encodeZdsAck,
  encodeZdsHello,
  encodeZdsRequest,
  type ZdsRequest,
} from "./zds-codec.ts";

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex");
const unhex = (text: string): Uint8Array => Uint8Array.from(Buffer.from(text.replaceAll(" ", ""), "hex"));

function valueOf<T>(result: Parsed<T>): T {
  assert.ok(result.ok, JSON.stringify(result));
  return result.value;
}

function problemOf(result: Parsed<unknown>): string {
  assert.ok(!result.ok, "was accepted");
  return result.problems.map((p) => `${p.path}|${p.message}`).join();
}

const httpbinService = aService({ name: "httpbin" });
const httpbinPod = aWorkload({
  name: "httpbin-1",
  serviceAccount: "httpbin",
  canonicalName: "httpbin",
  canonicalRevision: "v1",
  workloadType: "pod",
  workloadName: "httpbin",
  services: new Map([[serviceKey("default", "httpbin.default.svc.cluster.local"), new Map([[80, 8080]])]]),
});
const STRICT_HEX =
  "0a1d697374696f5f636f6e7665727465645f7374617469635f737472696374 120c697374696f2d73797374656d 1802 2001 2a08 0a06 1204 22022200";
const SERVICE_HEX =
  "12460a076874747062696e120764656661756c741a216874747062696e2e64656661756c742e7376632e636c75737465722e6c6f63616c220612040a6000072a05085010903f5801";
const WORKLOAD_HEX =
  "0aac010a096874747062696e2d31120764656661756c741a040a00000528013a076874747062696e4a056e6f64653152076874747062696e5a02763160026a076874747062696e92010a4b756265726e65746573a201214b756265726e657465732f2f506f642f64656661756c742f6874747062696e2d31b201340a2964656661756c742f6874747062696e2e64656661756c742e7376632e636c75737465722e6c6f63616c12070a05085010903f";

test("a service has the bytes that Istio writes", () => {
  assert.equal(hex(encodeAddress(httpbinService)), SERVICE_HEX);
  assert.deepEqual(valueOf(decodeAddress(unhex(SERVICE_HEX))), { kind: "service", service: httpbinService });
});

test("a workload has the bytes that Istio writes", () => {
  assert.equal(hex(encodeAddress(httpbinPod)), WORKLOAD_HEX);
  assert.deepEqual(valueOf(decodeAddress(unhex(WORKLOAD_HEX))), { kind: "workload", workload: httpbinPod });
});

test("the static strict policy has the bytes that Istio writes", () => {
  assert.equal(hex(encodeAuthorization(aStrictPolicy())), STRICT_HEX.replaceAll(" ", ""));
  assert.deepEqual(valueOf(decodeAuthorization(unhex(STRICT_HEX))), aStrictPolicy());
});

test("a waypoint reference and a capacity have the bytes that Istio writes", () => {
  const waypoint = {
    destination: {
      kind: "hostname",
      name: { namespace: "default", hostname: "waypoint.default.svc.cluster.local" },
    },
    hboneMtlsPort: 15_008,
  } as const;
  const bytes = hex(encodeAddress(aWorkload({ waypoint, capacity: 5 })));
  const reference =
    "0a2d0a0764656661756c741222776179706f696e742e64656661756c742e7376632e636c75737465722e6c6f63616c18a075";
  assert.ok(bytes.includes(`42${(reference.length / 2).toString(16)}${reference}`));
  assert.ok(bytes.endsWith("da01020805"));
});

test("destination ports are packed", () => {
  const policy = anAuthorizationOf({ destinationPorts: { any: [80, 8080], none: [] } });
  assert.ok(hex(encodeAuthorization(policy)).includes("4a0350903f"));
});

test("unpacked ports are read as well", () => {
  // rule{clause{match{destination_ports: 80, destination_ports: 8080}}}
  const policy = valueOf(decodeAuthorization(unhex("0a0170 2a09 0a07 1205 4850 48903f")));
  assert.deepEqual(policy.rules[0]?.clauses[0]?.matches[0]?.destinationPorts.any, [80, 8080]);
});

test("pod announcements have the bytes that Istio writes", () => {
  const uid = podUid("u1");
  const workload = { name: "p", namespace: "ns", serviceAccount: "sa" };
  const vectors: readonly (readonly [ZdsRequest, string])[] = [
    [{ kind: "add", uid, workload }, "0a110a027531120b0a017012026e731a027361"],
    [{ kind: "keep", uid }, "2a040a027531"],
    [{ kind: "delete", uid }, "120412027531"],
    [{ kind: "snapshot-sent" }, "1a00"],
  ];
  for (const [request, bytes] of vectors) {
    assert.equal(hex(encodeZdsRequest(request)), bytes);
    assert.deepEqual(valueOf(decodeZdsRequest(unhex(bytes))), request);
  }
  assert.equal(hex(encodeZdsHello()), "0801");
  assert.deepEqual(valueOf(decodeZdsHello(unhex("0801"))), { version: 1 });
  assert.equal(hex(encodeZdsAck({ error: "" })), "0a00");
  assert.equal(hex(encodeZdsAck({ error: "boom" })), "0a060a04626f6f6d");
  assert.deepEqual(valueOf(decodeZdsAck(unhex("0a060a04626f6f6d"))), { error: "boom" });
});

test("bad pod announcements are refused", () => {
  const cases: readonly (readonly [string, string])[] = [
    ["", "no known request"],
    ["0a040a027531", "workload_info"],
    ["0a0212 00", "uid"],
    ["2a00", "uid"],
    ["2000", "no known request"],
    ["0a110a0275", "middle of a field"],
    ["0801", "wire type"],
  ];
  for (const [bytes, reason] of cases)
    assert.match(problemOf(decodeZdsRequest(unhex(bytes))), new RegExp(reason));
  assert.match(problemOf(decodeZdsHello(unhex("0802"))), /version/);
  assert.match(problemOf(decodeZdsHello(unhex(""))), /version/);
  assert.match(problemOf(decodeZdsAck(unhex(""))), /no known response/);
  assert.match(problemOf(decodeZdsAck(new Uint8Array(1025))), /1025 bytes/);
});

test("a long error still fits the packet and stays readable", () => {
  const bytes = encodeZdsAck({ error: "ü".repeat(2000) });
  assert.ok(bytes.length <= 1024);
  assert.match(valueOf(decodeZdsAck(bytes)).error, /^ü+$/);
});

/** Address{workload{uid "u", then the given fields}}. */
function workloadWith(fields: string): Uint8Array {
  const writer = new ProtoWriter();
  const mark = writer.mark();
  writer.raw(unhex(fields));
  writer.string(20, "u");
  writer.message(1, mark);
  return writer.finish();
}

function serviceWith(fields: string): Uint8Array {
  const writer = new ProtoWriter();
  const mark = writer.mark();
  writer.raw(unhex(fields));
  writer.string(3, "h");
  writer.message(2, mark);
  return writer.finish();
}

test("unusable addresses are refused with the field's name", () => {
  const cases: readonly (readonly [string, Uint8Array, RegExp])[] = [
    ["neither workload nor service", unhex(""), /^type\|/],
    ["unknown member of the oneof", unhex("1a00"), /^type\|/],
    ["workload without uid", unhex("0a00"), /^uid\|/],
    ["service without hostname", unhex("1200"), /^hostname\|/],
    ["address of five bytes", workloadWith("1a050a00000501"), /^addresses\|/],
    ["address of no bytes", workloadWith("1a00"), /^addresses\|/],
    ["unknown tunnel protocol", workloadWith("2803"), /^tunnel_protocol\|/],
    ["legacy tunnel protocol", workloadWith("2802"), /^tunnel_protocol\|/],
    ["negative tunnel protocol", workloadWith("28ffffffffffffffffff01"), /^tunnel_protocol\|/],
    ["unknown status", workloadWith("880102"), /^status\|/],
    ["unknown network mode", workloadWith("c80102"), /^network_mode\|/],
    ["unknown application tunnel", workloadWith("ba01020802"), /^application_tunnel/],
    ["service key without slash", workloadWith("b201030a0161"), /^services\|/],
    ["waypoint without destination", workloadWith("420318a075"), /^waypoint\|/],
    ["gateway without destination", workloadWith("9a010318a075"), /^network_gateway\|/],
    ["waypoint port out of range", workloadWith("420c120612040a00000118808004"), /^waypoint\|/],
    ["waypoint that is a block", workloadWith("420a120812040a0000011808"), /^waypoint\|/],
    ["unknown ip families", serviceWith("4804"), /^ip_families\|/],
    ["unknown balancing mode", serviceWith("42021004"), /^load_balancing\.mode\|/],
    ["unknown health policy", serviceWith("42021802"), /^load_balancing\.health_policy\|/],
    ["unspecified preference", serviceWith("42030a0100"), /^load_balancing\.routing_preference\|/],
    ["unknown preference", serviceWith("42030a0107"), /^load_balancing\.routing_preference\|/],
    ["prefix longer than the address", serviceWith("220812040a0000001821"), /^addresses\|/],
    ["port out of range", serviceWith("2a0408808004"), /^ports/],
    ["text that is not UTF-8", workloadWith("0a02c328"), /UTF-8/],
    ["number where text belongs", workloadWith("0801"), /wire type/],
    ["group", workloadWith("0b0c"), /wire type/],
    ["field number zero", workloadWith("0000"), /tag/],
    ["length beyond the end", unhex("0aff01"), /middle of a field/],
    ["endless number", workloadWith("28ffffffffffffffffffff01"), /longer than 10 bytes/],
    ["name of 5,000 bytes", encodeAddress(aWorkload({ name: "x".repeat(5000) })), /5000 bytes/],
  ];
  for (const [name, bytes, expected] of cases) assert.match(problemOf(decodeAddress(bytes)), expected, name);
});

/** A workload with one extension; fields of its Any and of what is in that. */
function workloadExtendedBy(name: string, typeUrl: string, fields: string): Uint8Array {
  const writer = new ProtoWriter();
  const workload = writer.mark();
  const extension = writer.mark();
  const any = writer.mark();
  writer.bytes(2, unhex(fields));
  writer.string(1, typeUrl);
  writer.message(2, any);
  writer.string(1, name);
  writer.message(26, extension);
  writer.string(20, "u");
  writer.message(1, workload);
  return writer.finish();
}

const EXCLUDED = "ambit.io/waypoint-exclude-ports";
const EXCLUDED_TYPE = "type.googleapis.com/ambit.waypoint.v1.ExcludedPorts";

test("ports that are kept from waypoints are read in one order; a damaged list is refused, never taken for none or another", () => {
  const read = (fields: string): readonly number[] => {
    const { workload } = valueOf(decodeAddress(workloadExtendedBy(EXCLUDED, EXCLUDED_TYPE, fields))) as {
      readonly workload: { readonly excludedPorts: readonly number[] };
    };
    return workload.excludedPorts;
  };
  assert.deepEqual(read("0a04 b82a 50 50"), [80, 5_432]);
  assert.deepEqual(read("08b82a 0850"), [80, 5_432]);
  assert.deepEqual(read(""), []);
  for (const fields of ["0a0100", "0a03808004", "0a02b8", "0d00000000"])
    assert.match(problemOf(decodeAddress(workloadExtendedBy(EXCLUDED, EXCLUDED_TYPE, fields))), /./, fields);
  assert.match(problemOf(decodeAddress(workloadExtendedBy(EXCLUDED, "other", "0850"))), /^extensions\|/);
  valueOf(decodeAddress(workloadExtendedBy("somebody/else", "other", "ff")));
});

test("harmless unknown values are accepted", () => {
  const cases = [
    workloadWith("6009"), // workload_type
    workloadWith("d20103 0a0161"), // extensions
    workloadWith("7a03616263"), // reserved field 15
    serviceWith("7009"), // visibility
    serviceWith("2a0318 e707"), // app_protocol
    serviceWith("320178"), // subject_alt_name that is no SPIFFE id
    unhex("0a04a2010175 f2030161"), // unknown field beside the oneof
  ];
  for (const bytes of cases) valueOf(decodeAddress(bytes));
  const service = valueOf(decodeAddress(serviceWith("320178")));
  assert.deepEqual(service.kind === "service" && service.service.subjectAltNames, []);
});

test("defaults of an empty trust domain and cluster, but never of an account", () => {
  const decoded = valueOf(decodeAddress(workloadWith("")));
  assert.ok(decoded.kind === "workload");
  const { trustDomain, clusterId, serviceAccount, capacity } = decoded.workload;
  assert.deepEqual(
    { trustDomain, clusterId, serviceAccount, capacity },
    { trustDomain: "cluster.local", clusterId: "Kubernetes", serviceAccount: "", capacity: 1 },
  );
});

test("an IPv4-mapped address is the IPv4 address", () => {
  const decoded = valueOf(decodeAddress(workloadWith("1a1000000000000000000000ffff0a000005")));
  assert.deepEqual(decoded.kind === "workload" && decoded.workload.addresses, [ip("10.0.0.5")]);
});

test("unusable policies are refused: an entry dropped in silence would widen them", () => {
  const cases: readonly (readonly [string, string, RegExp])[] = [
    ["no name", "", /^name\|/],
    ["unknown scope", "0a0170 1803", /^scope\|/],
    ["unknown action", "0a0170 2002", /^action\|/],
    ["principal without a match", "0a0170 2a06 0a04 1202 1a00", /^principals\|/],
    ["address of three bytes", "0a0170 2a0d 0a0b 1209 2a07 0a030a0000 1008", /^source_ips\|/],
    ["prefix too long", "0a0170 2a0e 0a0c 120a 2a08 0a040a000000 1021", /^source_ips\|/],
    ["port out of range", "0a0170 2a09 0a07 1205 4a03 808004", /^destination_ports\|/],
  ];
  for (const [name, bytes, expected] of cases)
    assert.match(problemOf(decodeAuthorization(unhex(bytes))), expected, name);
});

test("a block of length zero matches everything and is written as such", () => {
  const any = { address: ip("0.0.0.0"), prefixLength: 0 };
  const policy = anAuthorizationOf({ sourceIps: { any: [any], none: [] } });
  assert.deepEqual(valueOf(decodeAuthorization(encodeAuthorization(policy))), policy);
});

test("rules, clauses and matches without content stay distinct", () => {
  const policy = {
    ...aStrictPolicy(),
    rules: [{ clauses: [] }, { clauses: [{ matches: [] }] }, { clauses: [{ matches: [aMatch()] }] }],
  };
  assert.deepEqual(valueOf(decodeAuthorization(encodeAuthorization(policy))), policy);
});

test("a message nested too deeply is refused", () => {
  const writer = new ProtoWriter();
  writer.stringElement(3, "x");
  // Value{list_value{values{...}}} again and again, inside node.metadata.
  for (let i = 0; i < 60; i++) {
    writer.message(1, 0);
    writer.message(6, 0);
  }
  writer.message(2, 0);
  writer.message(1, 0);
  writer.message(3, 0);
  writer.message(1, 0);
  assert.match(problemOf(decodeDeltaRequest(writer.finish())), /nested deeper/);
});

test("oversize messages are refused before they are read", () => {
  assert.match(problemOf(decodeAddress(new Uint8Array(2 * 1024 * 1024 + 1))), /more than/);
  assert.match(problemOf(decodeCertificateRequest(new Uint8Array(64 * 1024 + 1))), /more than/);
});

test("a certificate chain of a hundred elements is refused", () => {
  assert.match(problemOf(decodeCertificateResponse(unhex("0a0178".repeat(100)))), /more than 32 elements/);
});

test("an xDS resource without a body is a resource", () => {
  const response = valueOf(decodeDeltaResponse(unhex("12031a0161")));
  assert.deepEqual(
    response.resources.map((r) => [r.name, r.typeUrl, r.body.length]),
    [["a", "", 0]],
  );
});

test("resource names", () => {
  assert.equal(addressResourceName(httpbinPod), "Kubernetes//Pod/default/httpbin-1");
  assert.equal(addressResourceName(httpbinService), "default/httpbin.default.svc.cluster.local");
  const named = aWorkload({ authorizationPolicies: [policyKey("b", "x"), policyKey("a", "x")] });
  const decoded = valueOf(decodeAddress(encodeAddress(named)));
  assert.deepEqual(decoded.kind === "workload" && decoded.workload.authorizationPolicies, ["a/x", "b/x"]);
});
