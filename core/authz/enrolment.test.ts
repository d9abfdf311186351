import assert from "node:assert/strict";
import { test } from "node:test";
import { decideEnrolment, type EnrolmentPod } from "./enrolment.ts";

const OPTIONS = { systemNamespace: "istio-system", excludedNamespaces: ["kube-system"] };
const LABELLED = { name: "shop", labels: { "istio.io/dataplane-mode": "ambient" } };
const PLAIN = { name: "shop", labels: {} };
const pod: EnrolmentPod = {
  namespace: "shop",
  labels: {},
  annotations: {},
  hostNetwork: false,
  phase: "Running",
  serviceAccount: "default",
};
const mode = (value: string) => ({ "istio.io/dataplane-mode": value });
const mirror = { "kubernetes.io/config.mirror": "x" };
const sidecar = { "sidecar.istio.io/status": "{}" };

interface EnrolmentCase {
  readonly name: string;
  readonly pod: Partial<EnrolmentPod>;
  readonly namespace?: typeof LABELLED | typeof PLAIN | undefined;
  readonly expect: string;
}

const CASES: readonly EnrolmentCase[] = [
  { name: "nothing is labelled", pod: {}, namespace: PLAIN, expect: "not-selected" },
  { name: "an unknown namespace", pod: {}, namespace: undefined, expect: "not-selected" },
  { name: "the pod opts out", pod: { labels: mode("none") }, expect: "opted-out" },
  {
    name: "the pod has another value",
    pod: { labels: mode("sidecar") },
    namespace: PLAIN,
    expect: "not-selected",
  },
  { name: "another value does not opt out", pod: { labels: mode("x") }, expect: "enrol" },
  { name: "host network", pod: { hostNetwork: true }, expect: "host-network" },
  {
    name: "host network that asks for it",
    pod: { hostNetwork: true, labels: mode("ambient") },
    expect: "host-network",
  },
  {
    name: "a mirror pod that asks for it",
    pod: { annotations: mirror, labels: mode("ambient") },
    expect: "mirror-pod",
  },
  { name: "a sidecar", pod: { annotations: sidecar }, expect: "sidecar" },
  { name: "no service account", pod: { serviceAccount: "" }, expect: "no-service-account" },
  { name: "a finished pod", pod: { phase: "Succeeded" }, expect: "terminal" },
  { name: "a failed pod", pod: { phase: "Failed" }, expect: "terminal" },
  {
    name: "the mesh's own namespace, labelled",
    pod: { namespace: "istio-system" },
    expect: "system-namespace",
  },
  {
    name: "a pod of the mesh's own namespace that asks for it",
    pod: { namespace: "istio-system", labels: mode("ambient") },
    expect: "system-namespace",
  },
  {
    name: "an excluded namespace",
    pod: { namespace: "kube-system", labels: mode("ambient") },
    expect: "excluded-namespace",
  },
  { name: "the namespace is labelled", pod: {}, expect: "enrol" },
  { name: "a pod that is starting", pod: { phase: "" }, expect: "enrol" },
  { name: "the pod alone is labelled", pod: { labels: mode("ambient") }, namespace: PLAIN, expect: "enrol" },
  {
    name: "the pod alone, its namespace unknown",
    pod: { labels: mode("ambient") },
    namespace: undefined,
    expect: "enrol",
  },
];

for (const c of CASES) {
  test(c.name, () => {
    const namespace = Object.hasOwn(c, "namespace") ? c.namespace : LABELLED;
    const decision = decideEnrolment({ ...pod, ...c.pod }, namespace, OPTIONS);
    assert.equal(decision.kind === "enrol" ? "enrol" : decision.reason, c.expect);
  });
}
