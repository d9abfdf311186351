/** The whole graph: any order of changes gives the bytes that the end state alone gives, and no dangling policy name. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import type { JsonObject } from "#core/k8s/json-read.ts";
import { objectKey } from "#core/k8s/object-types.ts";
import { Scheduler } from "../collections/scheduler.ts";
import { MeshIndex } from "../mesh-index.ts";
import { sourceKinds } from "../source/source-kinds.ts";
import { Sources } from "../sources.ts";
import { testMeshConfig } from "./builders.ts";

interface Put {
  readonly kind: string;
  readonly object: JsonObject;
  readonly gone: boolean;
}

const oneOf = <T>(...values: readonly T[]): fc.Arbitrary<T> => fc.constantFrom(...values);
const namespace = oneOf("a", "b", "istio-system");
const app = oneOf("x", "y");
const mode = oneOf(undefined, "UNSET", "STRICT", "PERMISSIVE", "DISABLE");
const created = oneOf("2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z");
const selector = fc.option(
  app.map((value) => ({ matchLabels: { app: value } })),
  { nil: undefined },
);
const put = (kind: string, object: fc.Arbitrary<JsonObject>): fc.Arbitrary<Put> =>
  fc.record({ kind: fc.constant(kind), object, gone: fc.nat({ max: 5 }).map((n) => n === 0) });

const change: fc.Arbitrary<Put> = fc.oneof(
  put(
    "Pod",
    fc
      .tuple(
        namespace,
        oneOf("p", "q", "r"),
        app,
        oneOf("n1", "n2"),
        oneOf("10.1.0.5", "10.1.0.6", "10.2.0.5", "10.96.0.1"),
        created,
      )
      .map(([ns, name, label, nodeName, ip, creationTimestamp]) => ({
        metadata: {
          namespace: ns,
          name,
          uid: `${ns}-${name}-${creationTimestamp}`,
          labels: { app: label },
          creationTimestamp,
          annotations: { "ambient.istio.io/redirection": "enabled" },
        },
        spec: {
          nodeName,
          serviceAccountName: label,
          containers: [{ ports: [{ name: "http", containerPort: 8080 }] }],
        },
        status: { phase: "Running", podIPs: [{ ip }] },
      })),
  ),
  put(
    "Service",
    fc
      .tuple(
        namespace,
        oneOf("s", "t"),
        app,
        oneOf("10.96.0.1", "10.96.0.2"),
        oneOf<string | number>("http", 8080),
      )
      .map(([ns, name, label, ip, targetPort]) => ({
        metadata: { namespace: ns, name },
        spec: { selector: { app: label }, clusterIPs: [ip], ports: [{ port: 80, targetPort }] },
      })),
  ),
  put(
    "Node",
    fc
      .tuple(oneOf("n1", "n2"), oneOf("10.1.0.0/16", "10.2.0.0/16"), oneOf("z1", "z2"))
      .map(([name, range, zone]) => ({
        metadata: { name, labels: { "topology.kubernetes.io/zone": zone } },
        spec: { podCIDRs: [range] },
      })),
  ),
  put(
    "AuthorizationPolicy",
    fc
      .tuple(namespace, oneOf("k", "l"), selector, oneOf("ALLOW", "DENY", "AUDIT"))
      .map(([ns, name, sel, action]) => ({
        metadata: { namespace: ns, name },
        spec: { ...(sel && { selector: sel }), action, rules: [{}] },
      })),
  ),
  put(
    "PeerAuthentication",
    fc
      .tuple(namespace, oneOf("v", "w"), selector, mode, mode, created)
      .map(([ns, name, sel, own, port, creationTimestamp]) => ({
        metadata: { namespace: ns, name, creationTimestamp },
        spec: {
          ...(sel && { selector: sel }),
          ...(own !== undefined && { mtls: { mode: own } }),
          ...(port !== undefined && { portLevelMtls: { 8080: { mode: port } } }),
        },
      })),
  ),
  put(
    "ConfigMap",
    oneOf("trustDomain: one.org", "rootNamespace: a", "").map((mesh) => ({
      metadata: { namespace: "istio-system", name: "istio" },
      data: { mesh },
    })),
  ),
);

interface Built {
  readonly index: MeshIndex;
  readonly scheduler: Scheduler;
  put(change: Put): void;
}

function build(): Built {
  const sources = new Sources();
  const scheduler = new Scheduler();
  const index = new MeshIndex(sources, testMeshConfig, scheduler);
  const kinds = sourceKinds(sources);
  return {
    index,
    scheduler,
    put: ({ kind, object, gone }) => {
      const target = kinds.find((k) => k.kind.kind === kind);
      const projected = target?.project(object);
      if (target === undefined || projected === undefined) throw new Error(kind);
      target.collection.apply([[objectKey(projected), gone ? undefined : projected]]);
    },
  };
}

const keyOf = ({ kind, object }: Put): string =>
  `${kind} ${JSON.stringify(Object.entries(object["metadata"] as JsonObject).filter(([k]) => k === "namespace" || k === "name"))}`;

function versions(index: MeshIndex): readonly string[] {
  const all = [...index.addresses.values(), ...index.authorizations.values()];
  return all.map((r) => `${r.kind} ${r.name} ${r.version}`).toSorted();
}

test("any history of changes gives the bytes of its end state, and workloads name only what exists", () => {
  let named = 0;
  const report = fc.check(
    fc.property(
      fc.array(fc.tuple(change, fc.boolean()), { minLength: 10, maxLength: 40, size: "max" }),
      (history) => {
        const incremental = build();
        const last = new Map<string, Put>();
        for (const [step, flush] of history) {
          incremental.put(step);
          last.delete(keyOf(step));
          last.set(keyOf(step), step);
          if (flush) incremental.scheduler.run();
        }
        incremental.scheduler.run();
        const scratch = build();
        for (const step of [...last.values()].toReversed()) scratch.put(step);
        scratch.scheduler.run();
        assert.deepEqual(versions(incremental.index), versions(scratch.index));
        for (const { output } of incremental.index.workloads.values()) {
          for (const policy of output?.authorizationPolicies ?? []) {
            named++;
            assert.ok(incremental.index.authorizations.get(policy) !== undefined, policy);
          }
        }
      },
    ),
    { numRuns: 3_000 },
  );
  assert.equal(report.failed, false, fc.defaultReportMessage(report) ?? "");
  assert.ok(named > 1_000, `${named} names seen`);
});
