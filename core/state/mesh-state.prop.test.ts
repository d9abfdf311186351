import { test } from "node:test";
import fc from "fast-check";
import { networkAddressKey } from "../model/address.ts";
import { arbitraryAuthorization, arbitraryService, arbitraryWorkload } from "../testing/arbitraries.ts";
import { dumpMesh } from "./config-dump.ts";
import { type MeshResource, MeshState, type Removal } from "./mesh-state.ts";

const resource: fc.Arbitrary<MeshResource> = fc.oneof(
  arbitraryWorkload.map((workload) => ({ kind: "workload", workload }) as const),
  arbitraryService.map((service) => ({ kind: "service", service }) as const),
  arbitraryAuthorization.map((policy) => ({ kind: "authorization", policy }) as const),
);

function removalOf(r: MeshResource): Removal {
  if (r.kind === "workload") return { type: "address", name: r.workload.uid };
  if (r.kind === "service") return { type: "address", name: `${r.service.namespace}/${r.service.hostname}` };
  return { type: "authorization", name: `${r.policy.namespace}/${r.policy.name}` };
}

const nameOf = (r: MeshResource): string => `${removalOf(r).type} ${removalOf(r).name}`;

/** Everything a reader can see. */
function observed(state: MeshState, all: readonly MeshResource[]): unknown {
  const answers: unknown[] = [];
  for (const r of all) {
    if (r.kind === "workload") {
      const { namespace, network, name, node } = r.workload;
      answers.push(
        ...r.workload.addresses.map((ip) => state.workloads.byAddress({ network, ip })?.uid),
        state.workloads
          .byPodName(namespace, name)
          .map((w) => w.uid)
          .toSorted(),
        state.workloads
          .onNode(node)
          .map((w) => w.uid)
          .toSorted(),
      );
    } else if (r.kind === "service") {
      for (const vip of r.service.vips) {
        const found = state.services.byAddress(vip, r.service.namespace);
        answers.push([networkAddressKey(vip), found?.namespace, found?.hostname]);
      }
    } else {
      const names = (list: readonly { readonly name: string }[]): readonly string[] =>
        list.map((p) => p.name);
      answers.push(names(state.policies.global()), names(state.policies.inNamespace(r.policy.namespace)));
    }
  }
  return { dump: dumpMesh(state), answers };
}

test("any order and any batching of updates that end in the same set give the same state", () => {
  fc.assert(
    fc.property(
      fc.array(resource, { maxLength: 12 }),
      fc.array(resource, { maxLength: 6 }),
      fc.infiniteStream(fc.nat()),
      (wanted, passing, randoms) => {
        const byName = new Map(wanted.map((r) => [nameOf(r), r]));
        const final = [...byName.values()];
        const straight = new MeshState();
        straight.commit({ upserts: final, removals: [] });

        const shuffled = final.toSorted(() => (Number(randoms.next().value) % 2) - 0.5);
        const crooked = new MeshState();
        for (const r of passing) crooked.commit({ upserts: [r], removals: [] });
        for (const r of passing)
          if (!byName.has(nameOf(r))) crooked.commit({ upserts: [], removals: [removalOf(r)] });
        for (const r of shuffled) crooked.commit({ upserts: [r, r], removals: [] });

        const all = [...final, ...passing];
        if (JSON.stringify(observed(straight, all)) !== JSON.stringify(observed(crooked, all))) {
          throw new Error("states differ");
        }
      },
    ),
    { numRuns: 200 },
  );
});

test("a state from which everything was removed answers like an empty one", () => {
  fc.assert(
    fc.property(fc.array(resource, { maxLength: 12 }), (all) => {
      const state = new MeshState();
      state.commit({ upserts: all, removals: all.map(removalOf) });
      if (JSON.stringify(observed(state, all)) !== JSON.stringify(observed(new MeshState(), all))) {
        throw new Error("something was left behind");
      }
    }),
    { numRuns: 100 },
  );
});
