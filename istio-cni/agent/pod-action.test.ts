import assert from "node:assert/strict";
import { test } from "node:test";
import type { NamespaceObject, PodObject } from "#core/k8s/object-types.ts";
import { decidePodAction } from "./pod-action.ts";
import { aNamespace, aPod } from "./test/objects.ts";

interface Case {
  readonly name: string;
  readonly pod: PodObject | undefined;
  readonly namespace?: NamespaceObject;
  readonly captured: boolean;
  readonly interrupted?: boolean;
  readonly expect: string;
}

const OPTIONS = { systemNamespace: "istio-system", excludedNamespaces: ["kube-system"] };
const ambient = aNamespace("ambient");
const plain = aNamespace(undefined);
const labelled = (mode: string): Partial<PodObject> => ({
  metadata: aPod({ metadata: { labels: { "istio.io/dataplane-mode": mode } } }).metadata,
});

const CASES: readonly Case[] = [
  {
    name: "a running pod in a labelled namespace joins",
    pod: aPod(),
    namespace: ambient,
    captured: false,
    expect: "join",
  },
  { name: "a captured pod there stays", pod: aPod(), namespace: ambient, captured: true, expect: "nothing" },
  {
    name: "a label that went away lets it leave",
    pod: aPod(),
    namespace: plain,
    captured: true,
    expect: "leave",
  },
  {
    name: "an unlabelled pod is left alone",
    pod: aPod(),
    namespace: plain,
    captured: false,
    expect: "nothing",
  },
  {
    name: "its own label joins it",
    pod: aPod(labelled("ambient")),
    namespace: plain,
    captured: false,
    expect: "join",
  },
  {
    name: "its own opt-out lets it leave",
    pod: aPod(labelled("none")),
    namespace: ambient,
    captured: true,
    expect: "leave",
  },
  { name: "an unknown namespace joins nobody", pod: aPod(), captured: false, expect: "nothing" },
  {
    name: "a mirror pod has no identity",
    pod: aPod({ serviceAccount: "" }),
    namespace: ambient,
    captured: false,
    expect: "skip",
  },
  {
    name: "a mirror annotation keeps it out",
    pod: aPod({ metadata: { annotations: { "kubernetes.io/config.mirror": "x" } } }),
    namespace: ambient,
    captured: false,
    expect: "skip",
  },
  {
    name: "an interrupted enrolment is taken up again",
    pod: aPod(),
    namespace: ambient,
    captured: true,
    interrupted: true,
    expect: "join",
  },
  {
    name: "what an interrupted enrolment left in a pod that is not to be captured goes",
    pod: aPod(),
    namespace: plain,
    captured: true,
    interrupted: true,
    expect: "leave",
  },
  {
    name: "a pod that is neither captured nor to be captured loses an annotation that says it is",
    pod: aPod({ metadata: { annotations: { "ambient.istio.io/redirection": "enabled" } } }),
    namespace: plain,
    captured: false,
    expect: "withdraw",
  },
  {
    name: "a foreign redirection annotation does not count as captured",
    pod: aPod({ metadata: { annotations: { "ambient.istio.io/redirection": "enabled" } } }),
    namespace: ambient,
    captured: false,
    expect: "join",
  },
  {
    name: "hostNetwork never joins",
    pod: aPod({ hostNetwork: true }),
    namespace: ambient,
    captured: false,
    expect: "skip",
  },
  {
    name: "a foreign probe host keeps it out",
    pod: aPod({ foreignProbeHosts: ["10.0.0.9"] }),
    namespace: ambient,
    captured: false,
    expect: "refuse",
  },
  {
    name: "a terminating pod keeps what it has",
    pod: aPod({ metadata: { deletionMs: 1 } }),
    namespace: plain,
    captured: true,
    expect: "nothing",
  },
  {
    name: "a terminating pod does not join",
    pod: aPod({ metadata: { deletionMs: 1 } }),
    namespace: ambient,
    captured: false,
    expect: "nothing",
  },
  {
    name: "a finished pod has ended",
    pod: aPod({ phase: "Succeeded" }),
    namespace: ambient,
    captured: true,
    expect: "ended",
  },
  { name: "a deleted pod has ended", pod: undefined, captured: true, expect: "ended" },
  {
    name: "a deleted pod that was not captured is nothing",
    pod: undefined,
    captured: false,
    expect: "nothing",
  },
];

for (const c of CASES) {
  test(c.name, () => {
    const { pod, namespace, captured, interrupted = false } = c;
    const action = decidePodAction({ pod, namespace, captured, interrupted }, OPTIONS);
    assert.equal(action.kind, c.expect);
  });
}

test("an excluded namespace joins nobody, whatever its label", () => {
  const pod = aPod({ metadata: { namespace: "kube-system" } });
  const situation = { pod, namespace: aNamespace("ambient", "kube-system"), captured: false };
  assert.deepEqual(decidePodAction(situation, OPTIONS), { kind: "skip", reason: "excluded-namespace" });
});

test("the mesh's own namespace joins nobody, whatever its label, and what was captured there leaves", () => {
  const pod = aPod({
    metadata: { namespace: "istio-system", labels: { "istio.io/dataplane-mode": "ambient" } },
  });
  const namespace = aNamespace("ambient", "istio-system");
  const kinds = [false, true].map((captured) => decidePodAction({ pod, namespace, captured }, OPTIONS).kind);
  assert.deepEqual(kinds, ["skip", "leave"]);
});
