import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { arbitraryAuthorization, arbitraryService, arbitraryWorkload } from "#core/testing/arbitraries.ts";
import { dumpMesh } from "#core/state/config-dump.ts";
import { MeshState } from "#core/state/mesh-state.ts";
import { readLocalState } from "./read-local-state.ts";

test("a dump read as a file gives the same dump", () => {
  fc.assert(
    fc.property(
      fc.array(arbitraryWorkload, { maxLength: 4 }),
      fc.array(arbitraryService, { maxLength: 4 }),
      fc.array(arbitraryAuthorization, { maxLength: 4 }),
      (workloads, services, policies) => {
        const first = new MeshState();
        first.commit({
          upserts: [
            ...workloads
              .filter((w) => [...w.services.keys()].every((key) => key.includes("/")))
              .map((workload) => ({ kind: "workload", workload }) as const),
            ...services.map((service) => ({ kind: "service", service }) as const),
            ...policies.map((policy) => ({ kind: "authorization", policy }) as const),
          ],
          removals: [],
        });
        const dump = dumpMesh(first);
        const read = readLocalState(JSON.parse(JSON.stringify(dump)));
        if (!read.ok) throw new Error(JSON.stringify(read.problems));
        const second = new MeshState();
        second.commit({ upserts: read.value, removals: [] });
        if (JSON.stringify(dumpMesh(second)) !== JSON.stringify(dump)) throw new Error("dumps differ");
      },
    ),
    { numRuns: 200 },
  );
});

test("every problem is reported with its path", () => {
  const read = readLocalState({
    workloads: [{ name: "a", namespace: 3, workloadIps: ["nonsense"], protocol: "UDP" }],
    services: [{ name: "s", namespace: "n", hostname: "h", vips: ["10.0.0.1"], ports: { "80": 99_999 } }],
    policies: [{ name: "p", namespace: "n", scope: "Galaxy", rules: [[[{ principals: [{}] }]]] }],
  });
  assert.ok(!read.ok);
  assert.deepStrictEqual(read.problems.map((p) => p.path).toSorted(), [
    "policies[0].rules[0][0][0].principals[0]",
    "policies[0].scope",
    "services[0].ports.80",
    "services[0].vips[0]",
    "workloads[0].namespace",
    "workloads[0].namespace",
    "workloads[0].protocol",
    "workloads[0].workloadIps[0]",
  ]);
});

test("arbitrary documents never throw", () => {
  fc.assert(
    fc.property(fc.anything(), (document) => {
      readLocalState(document);
      readLocalState({ workloads: [document], services: [document], policies: [document] });
    }),
  );
});
