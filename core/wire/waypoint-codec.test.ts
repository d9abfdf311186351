/** A waypoint's configuration survives encoding, protobufjs reads the same, and whatever could widen a rule is refused. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import protobuf from "protobufjs";
import type { PolicyKey, ServiceKey, WorkloadUid } from "../model/ids.ts";
import type { WaypointConfig } from "../model/waypoint-config.ts";
import { cidr } from "../net/cidr.ts";
import { ip } from "../net/ip.ts";
import { arbitraryWaypointConfig } from "../testing/arbitrary-requests.ts";
import { ProtoWriter } from "./proto-writer.ts";
import { decodeWaypointConfig, encodeWaypointConfig } from "./waypoint-codec.ts";

const root = new protobuf.Root();
root.loadSync(`${import.meta.dirname}/proto/waypoint.proto`);
const CONFIG = root.lookupType("ambit.waypoint.v1.WaypointConfig");

test("it survives encoding", () => {
  fc.assert(
    fc.property(arbitraryWaypointConfig, (config) => {
      assert.deepEqual(decodeWaypointConfig(encodeWaypointConfig(config)), { ok: true, value: config });
    }),
    { numRuns: 500 },
  );
});

test("protobufjs writes the same bytes and knows every field", () => {
  fc.assert(
    fc.property(arbitraryWaypointConfig, (config) => {
      const bytes = encodeWaypointConfig(config);
      const again = CONFIG.encode(CONFIG.decode(bytes)).finish();
      assert.equal(Buffer.from(again).toString("hex"), Buffer.from(bytes).toString("hex"));
    }),
  );
});

const nothing = { any: [], none: [] } as const;
const exact = (value: string) => ({ kind: "exact", value }) as const;
const EVERYTHING: WaypointConfig = {
  name: "shop/w",
  automatic: true,
  pathNormalization: "merge-slashes",
  clientCertField: true,
  services: [{ service: "shop/a" as ServiceKey, policies: ["shop/p" as PolicyKey] }],
  workloads: [{ workload: "u" as WorkloadUid, policies: ["shop/p" as PolicyKey] }],
  policies: [
    {
      key: "shop/p" as PolicyKey,
      action: "deny",
      dryRun: true,
      rules: [
        {
          index: 6,
          from: [
            {
              principals: { any: [exact("p")], none: [{ kind: "prefix", value: "np" }] },
              namespaces: { any: [exact("n")], none: [{ kind: "presence" }] },
              serviceAccounts: {
                any: [{ namespace: "n", serviceAccount: "s" }],
                none: [{ namespace: "n", serviceAccount: "t" }],
              },
              sourceIps: { any: [cidr(ip("10.0.0.0"), 8)], none: [cidr(ip("10.1.0.0"), 16)] },
            },
          ],
          to: [
            {
              hosts: { any: [exact("h")], none: [{ kind: "suffix", value: "nh" }] },
              methods: { any: [exact("GET")], none: [exact("PUT")] },
              paths: {
                any: [
                  exact("/p"),
                  {
                    kind: "template",
                    segments: [
                      { kind: "literal", text: "/a/" },
                      { kind: "one" },
                      { kind: "literal", text: "/" },
                      { kind: "rest" },
                    ],
                  },
                ],
                none: [exact("/np")],
              },
              ports: { any: [80, 443], none: [8080] },
            },
          ],
          when: [
            {
              kind: "source",
              match: {
                principals: { any: [exact("p")], none: [] },
                namespaces: nothing,
                serviceAccounts: nothing,
                sourceIps: nothing,
              },
            },
            {
              kind: "destination-ip",
              values: { any: [cidr(ip("fd00::"), 8)], none: [cidr(ip("10.0.0.1"), 32)] },
            },
            { kind: "destination-port", values: { any: [1], none: [2] } },
            { kind: "header", name: "x-user", values: { any: [exact("v")], none: [exact("nv")] } },
          ],
        },
      ],
    },
  ],
};

test("a rule keeps its number", () => {
  assert.deepEqual(decodeWaypointConfig(encodeWaypointConfig(EVERYTHING)), { ok: true, value: EVERYTHING });
});

test("every field has its name in the .proto file", () => {
  const read = CONFIG.toObject(CONFIG.decode(encodeWaypointConfig(EVERYTHING)), {
    enums: String,
    bytes: String,
  });
  const block = (bytes: Uint8Array, length: number): object => ({
    address: Buffer.from(bytes).toString("base64"),
    length,
  });
  assert.deepEqual(read, {
    name: "shop/w",
    automatic: true,
    pathNormalization: "MERGE_SLASHES",
    clientCertField: true,
    services: [{ service: "shop/a", policies: ["shop/p"] }],
    workloads: [{ workload: "u", policies: ["shop/p"] }],
    policies: [
      {
        key: "shop/p",
        action: "DENY",
        dryRun: true,
        rules: [
          {
            number: 7,
            from: [
              {
                principals: [{ exact: "p" }],
                notPrincipals: [{ prefix: "np" }],
                namespaces: [{ exact: "n" }],
                notNamespaces: [{ presence: {} }],
                serviceAccounts: [{ namespace: "n", serviceAccount: "s" }],
                notServiceAccounts: [{ namespace: "n", serviceAccount: "t" }],
                sourceIps: [block(Uint8Array.of(10, 0, 0, 0), 8)],
                notSourceIps: [block(Uint8Array.of(10, 1, 0, 0), 16)],
              },
            ],
            to: [
              {
                hosts: [{ exact: "h" }],
                notHosts: [{ suffix: "nh" }],
                methods: [{ exact: "GET" }],
                notMethods: [{ exact: "PUT" }],
                paths: [
                  { exact: "/p" },
                  {
                    template: { segments: [{ literal: "/a/" }, { one: {} }, { literal: "/" }, { rest: {} }] },
                  },
                ],
                notPaths: [{ exact: "/np" }],
                ports: [80, 443],
                notPorts: [8080],
              },
            ],
            when: [
              { source: { principals: [{ exact: "p" }] } },
              {
                destinationIp: {
                  values: [block(Uint8Array.of(0xfd, ...Array<number>(15).fill(0)), 8)],
                  notValues: [block(Uint8Array.of(10, 0, 0, 1), 32)],
                },
              },
              { destinationPort: { values: [1], notValues: [2] } },
              { header: { name: "x-user", values: [{ exact: "v" }], notValues: [{ exact: "nv" }] } },
            ],
          },
        ],
      },
    ],
  });
});

/** What protobufjs would write for it: also what our own encoder cannot write. */
function bytesOf(config: object): Uint8Array {
  return CONFIG.encode(CONFIG.fromObject(config)).finish();
}

const ruleOf = (rule: object): object => ({ name: "n", policies: [{ key: "a/p", rules: [rule] }] });
const pathOf = (...segments: object[]): object => ruleOf({ to: [{ paths: [{ template: { segments } }] }] });
const REFUSED: readonly (readonly [string, object, RegExp])[] = [
  ["no name", {}, /name\|is empty/],
  ["a policy without a key", { name: "n", policies: [{}] }, /without a key/],
  ["an unknown action", { name: "n", policies: [{ key: "a/p", action: 7 }] }, /unsupported value 7/],
  ["an unknown normalisation", { name: "n", pathNormalization: 9 }, /unsupported value 9/],
  ["a policy twice", { name: "n", policies: [{ key: "a/p" }, { key: "a/p" }] }, /policies\|has a name twice/],
  [
    "a service twice",
    { name: "n", services: [{ service: "s" }, { service: "s" }] },
    /services\|has a name twice/,
  ],
  ["a workload twice", { name: "n", workloads: [{ workload: "s" }, { workload: "s" }] }, /has a name twice/],
  ["a service without a name", { name: "n", services: [{}] }, /without a name/],
  ["a rule number that no policy has", ruleOf({ number: 20_000 }), /rules\|has the invalid number 20000/],
  ["an empty source", ruleOf({ from: [{}] }), /source\|has an entry without a condition/],
  ["an empty operation", ruleOf({ to: [{}] }), /operation\|has an entry without a condition/],
  ["an empty condition", ruleOf({ when: [{}] }), /when\|has an entry without a value/],
  ["an empty source condition", ruleOf({ when: [{ source: {} }] }), /without a condition/],
  ["a block list without blocks", ruleOf({ when: [{ destinationIp: {} }] }), /without a condition/],
  ["a port list without ports", ruleOf({ when: [{ destinationPort: {} }] }), /without a condition/],
  ["a header without values", ruleOf({ when: [{ header: { name: "a" } }] }), /without a condition/],
  [
    "a header without name",
    ruleOf({ when: [{ header: { values: [{ exact: "" }] } }] }),
    /empty or not in lower/,
  ],
  [
    "a header in upper case",
    ruleOf({ when: [{ header: { name: "A", values: [{ exact: "" }] } }] }),
    /lower case/,
  ],
  ["a text without a match", ruleOf({ to: [{ hosts: [{}] }] }), /hosts\|has an entry without a value/],
  ["a path without a match", ruleOf({ to: [{ paths: [{}] }] }), /paths\|has an entry without a value/],
  [
    "an account without namespace",
    ruleOf({ from: [{ serviceAccounts: [{ serviceAccount: "a" }] }] }),
    /service_accounts/,
  ],
  [
    "an address of 3 bytes",
    ruleOf({ from: [{ sourceIps: [{ address: "AAAA", length: 8 }] }] }),
    /4 or 16 bytes/,
  ],
  ["a port above all ports", ruleOf({ to: [{ ports: [80, 70_000] }] }), /invalid port 70000/],
  ["a template without parts", pathOf(), /must start with/],
  ["a template that begins with a wildcard", pathOf({ one: {} }), /must start with/],
  [
    "two wildcards in one segment",
    pathOf({ literal: "/" }, { one: {} }, { one: {} }),
    /does not begin a segment/,
  ],
  [
    "a wildcard after {**}",
    pathOf({ literal: "/" }, { rest: {} }, { literal: "/" }, { one: {} }),
    /after \{\*\*\}/,
  ],
];

function problemOf(bytes: Uint8Array): string {
  const result = decodeWaypointConfig(bytes);
  assert.ok(!result.ok, "was accepted");
  return result.problems.map((p) => `${p.path}|${p.message}`).join();
}

for (const [name, config, why] of REFUSED)
  test(`is refused: ${name}`, () => assert.match(problemOf(bytesOf(config)), why));

/** The message with one more field inside each level of a policy. */
function withUnknown(level: number): Uint8Array {
  const writer = new ProtoWriter();
  // policies(6) > rules(4) > from(1) > principals(1)
  const path = [6, 4, 1, 1];
  const nest = (depth: number): void => {
    const field = path[depth];
    if (depth === level) writer.string(15, "x");
    if (field === undefined) {
      writer.string(1, "spiffe");
      return;
    }
    const mark = writer.mark();
    nest(depth + 1);
    if (depth === 0) writer.string(1, "a/p");
    writer.message(field, mark);
  };
  nest(0);
  writer.string(1, "n");
  return writer.finish();
}

test("what a policy says in a way that is not known is never skipped; elsewhere it may be", () => {
  assert.ok(decodeWaypointConfig(withUnknown(99)).ok);
  assert.ok(decodeWaypointConfig(withUnknown(0)).ok, "beside the policies");
  for (const level of [1, 2, 3, 4])
    assert.match(problemOf(withUnknown(level)), /unknown field 15/, `${level}`);
});

test("two values in one oneof are refused: which is meant, nobody knows", () => {
  const writer = new ProtoWriter();
  const policy = writer.mark();
  const rule = writer.mark();
  const operation = writer.mark();
  const host = writer.mark();
  writer.string(2, "b");
  writer.string(1, "a");
  writer.message(1, host);
  writer.message(2, operation);
  writer.message(4, rule);
  writer.string(1, "a/p");
  writer.message(6, policy);
  writer.string(1, "n");
  assert.match(problemOf(writer.finish()), /hosts\|has an entry with two values/);
});

test("arbitrary and damaged bytes give an outcome and never throw", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => {
      assert.equal(typeof decodeWaypointConfig(bytes).ok, "boolean");
    }),
    { numRuns: 2000 },
  );
  const damage = fc.array(fc.tuple(fc.nat(400), fc.nat(255)), { minLength: 1, maxLength: 4 });
  fc.assert(
    fc.property(
      arbitraryWaypointConfig.map(encodeWaypointConfig),
      damage,
      fc.nat(400),
      (bytes, changes, cut) => {
        const changed = Uint8Array.from(bytes);
        for (const [at, value] of changes) changed[at % changed.length] = value;
        assert.equal(typeof decodeWaypointConfig(changed).ok, "boolean");
        assert.equal(typeof decodeWaypointConfig(changed.subarray(0, cut)).ok, "boolean");
      },
    ),
    { numRuns: 1000 },
  );
});

test("more than the bound is refused before it is read", () => {
  assert.match(problemOf(new Uint8Array(16 * 1024 * 1024 + 1)), /more than the/);
});
