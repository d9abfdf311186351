/** Incremental equals from scratch: the property on which everything else in the controller rests. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import type { Collection } from "./collection.ts";
import { Derived, type ReadContext } from "./derive.ts";
import { Flattened, itemsOf } from "./flatten.ts";
import type { KeyIndex } from "./key-index.ts";
import { Scheduler } from "./scheduler.ts";
import { StaticCollection } from "./static.ts";

interface Pod {
  readonly namespace: string;
  readonly app: string;
  readonly node: string;
  readonly ready: boolean;
}
interface Service {
  readonly namespace: string;
  readonly selector: string;
  readonly port: number;
}
interface Zone {
  readonly zone: string;
}

type Operation =
  | { readonly kind: "pod"; readonly id: number; readonly value: Pod | undefined }
  | { readonly kind: "service"; readonly id: number; readonly value: Service | undefined }
  | { readonly kind: "node"; readonly id: number; readonly value: Zone | undefined }
  | { readonly kind: "run"; readonly steps: number };

const small = (max: number, prefix: string): fc.Arbitrary<string> =>
  fc.integer({ min: 0, max }).map((n) => `${prefix}${n}`);
const maybe = <T>(value: fc.Arbitrary<T>): fc.Arbitrary<T | undefined> =>
  fc.option(value, { nil: undefined, freq: 3 });
const operation: fc.Arbitrary<Operation> = fc.oneof(
  fc.record({
    kind: fc.constant("pod" as const),
    id: fc.integer({ min: 0, max: 7 }),
    value: maybe(
      fc.record({ namespace: small(1, "ns"), app: small(2, "a"), node: small(2, "n"), ready: fc.boolean() }),
    ),
  }),
  fc.record({
    kind: fc.constant("service" as const),
    id: fc.integer({ min: 0, max: 4 }),
    value: maybe(
      fc.record({ namespace: small(1, "ns"), selector: small(2, "a"), port: fc.integer({ min: 1, max: 4 }) }),
    ),
  }),
  fc.record({
    kind: fc.constant("node" as const),
    id: fc.integer({ min: 0, max: 2 }),
    value: maybe(fc.record({ zone: small(2, "z") })),
  }),
  fc.record({ kind: fc.constant("run" as const), steps: fc.integer({ min: 0, max: 3 }) }),
);

interface Graph {
  readonly pods: StaticCollection<Pod>;
  readonly services: StaticCollection<Service>;
  readonly nodes: StaticCollection<Zone>;
  readonly byNamespace: KeyIndex<Service>;
}

/** Two reads of one index key through different filters, and a read that depends on an earlier one. */
function describePod(graph: Graph, read: ReadContext, pod: Pod): string | undefined {
  if (!pod.ready && pod.app === "a0") return undefined;
  const zone = read.get(graph.nodes, pod.node)?.zone ?? "-";
  const selecting = read.fetch(graph.byNamespace, pod.namespace, (s) => s.selector === pod.app);
  const third = read.fetch(graph.byNamespace, pod.namespace, (s) => s.port === 3).length;
  const other = zone === "z1" ? read.fetch(graph.byNamespace, "ns1").length : 0;
  const ports = selecting
    .map((s) => s.port)

    .toSorted((a, b) => a - b)
    .join("+");
  return [pod.namespace, pod.app, zone, ports, String(third), String(other), String(pod.ready)].join("/");
}

const stack = (graph: Graph, read: ReadContext, text: string): string =>
  `${text}@${read.get(graph.nodes, "n0")?.zone ?? ""}`;

const plainRead: ReadContext = {
  get: (collection, key) => collection.get(key),
  fetch: (index, key, filter) => index.get(key).filter(filter ?? (() => true)),
};

function build(): Graph & { readonly scheduler: Scheduler; readonly final: Flattened<string> } {
  const pods = new StaticCollection<Pod>("pods");
  const services = new StaticCollection<Service>("services");
  const nodes = new StaticCollection<Zone>("nodes");
  const graph = { pods, services, nodes, byNamespace: services.index("by namespace", (s) => [s.namespace]) };
  const scheduler = new Scheduler();
  const equal = (a: string, b: string): boolean => a === b;
  const anything = (...list: readonly Collection<never>[]): readonly Collection<never>[] => list;
  const first = new Derived<Pod, string>(
    {
      name: "first",
      source: pods,
      reads: anything(services as never, nodes as never),
      compute: (read, pod) => describePod(graph, read, pod),
      equal,
    },
    scheduler,
  );
  const second = new Derived<string, string>(
    {
      name: "second",
      source: first,
      reads: anything(nodes as never),
      compute: (read, text) => stack(graph, read, text),
      equal,
    },
    scheduler,
  );
  const final = new Flattened<string>(
    {
      name: "final",
      equal,
      from: [
        itemsOf(second, (text) => [[`pod ${text}`, text]]),
        itemsOf(services, (s) => [
          [`port ${s.port}`, s.selector],
          [`app ${s.selector}`, s.namespace],
        ]),
      ],
    },
    scheduler,
  );
  return { ...graph, scheduler, final };
}

function fromScratch(graph: Graph): Map<string, string> {
  const result = new Map<string, string>();
  for (const pod of graph.pods.values()) {
    const text = describePod(graph, plainRead, pod);
    if (text === undefined) continue;
    const stacked = stack(graph, plainRead, text);
    result.set(`pod ${stacked}`, stacked);
  }
  for (const [, s] of [...graph.services.entries()].toSorted(([a], [b]) => (a < b ? 1 : -1))) {
    result.set(`port ${s.port}`, s.selector);
    result.set(`app ${s.selector}`, s.namespace);
  }
  return result;
}

function apply(graph: ReturnType<typeof build>, step: Operation): void {
  if (step.kind === "pod") graph.pods.apply([[`p${step.id}`, step.value]]);
  else if (step.kind === "service") graph.services.apply([[`s${step.id}`, step.value]]);
  else if (step.kind === "node") graph.nodes.apply([[`n${step.id}`, step.value]]);
  else {
    let left = step.steps;
    graph.scheduler.run(step.steps === 0 ? undefined : () => left-- <= 0);
  }
}

const sorted = (map: Iterable<readonly [string, string]>): readonly (readonly [string, string])[] =>
  [...map].toSorted(([a], [b]) => (a < b ? -1 : 1));

test("any changes with any flush points give the state and the events that a computation from scratch gives", () => {
  const runs = 20_000;
  const report = fc.check(
    fc.property(fc.array(operation, { maxLength: 60 }), (steps) => {
      const graph = build();
      const mirror = new Map<string, string>();
      graph.final.subscribe((changes) => {
        for (const { key, new: value } of changes) {
          if (value === undefined) mirror.delete(key);
          else mirror.set(key, value);
        }
      });
      for (const step of steps) apply(graph, step);
      while (!graph.scheduler.run());
      const want = sorted(fromScratch(graph));
      assert.deepStrictEqual(sorted(graph.final.entries()), want);
      assert.deepStrictEqual(sorted(mirror), want);
    }),
    { numRuns: runs },
  );
  assert.equal(report.failed, false, fc.defaultReportMessage(report) ?? "");
  assert.equal(report.numRuns, runs);
});

test("a deleted key leaves no dependency record behind", () => {
  const graph = build();
  const derived = new Derived<Pod, string>(
    {
      name: "observed",
      source: graph.pods,
      reads: [graph.services as never, graph.nodes as never],
      compute: (read, pod) => describePod(graph, read, pod),
      equal: (a, b) => a === b,
    },
    graph.scheduler,
  );
  const pod: Pod = { namespace: "ns0", app: "a1", node: "n0", ready: true };
  for (let i = 0; i < 1_000; i++) {
    graph.pods.apply([[`gone-${i}`, pod]]);
    graph.scheduler.run();
    graph.pods.apply([[`gone-${i}`, undefined]]);
    graph.scheduler.run();
  }
  assert.deepStrictEqual(derived.dependencySize(), { dependents: 0, keys: 0 });
});

test("an irrelevant change computes one key and tells nobody", () => {
  const graph = build();
  graph.pods.apply([["p0", { namespace: "ns0", app: "a1", node: "n0", ready: true }]]);
  graph.scheduler.run();
  let told = 0;
  graph.final.subscribe(() => told++);
  graph.pods.apply([["p0", { namespace: "ns0", app: "a1", node: "n0", ready: true }]]);
  graph.scheduler.run();
  assert.equal(told, 0);
});

test("reading a collection that was not declared is a programming error", () => {
  const graph = build();
  const derived = new Derived<Pod, string>(
    {
      name: "careless",
      source: graph.pods,
      reads: [],
      compute: (read) => read.get(graph.nodes, "n0")?.zone,
      equal: (a, b) => a === b,
    },
    graph.scheduler,
  );
  graph.pods.apply([["p0", { namespace: "ns0", app: "a1", node: "n0", ready: true }]]);
  assert.throws(() => derived.flush(() => false), /did not declare/);
});

test("what a subscriber sets in a source during a run is computed in the same run", () => {
  const scheduler = new Scheduler();
  const source = new StaticCollection<number>("source");
  const memory = new StaticCollection<number>("memory");
  const early = new Derived<number, number>(
    {
      name: "early",
      source,
      reads: [memory as never],
      compute: (read, value, key) => value + (read.get(memory, key) ?? 0),
      equal: (a, b) => a === b,
    },
    scheduler,
  );
  const late = new Derived<number, number>(
    { name: "late", source: early, reads: [], compute: (_read, value) => value, equal: (a, b) => a === b },
    scheduler,
  );
  late.subscribe(() => memory.apply([["a", 10]]));
  source.apply([["a", 1]]);
  assert.ok(scheduler.run());
  assert.ok(scheduler.isIdle);
  assert.deepEqual([early.get("a"), late.get("a")], [11, 11]);
});
