import assert from "node:assert/strict";
import { test } from "node:test";
import {
  containerEnvironment,
  expandReferences,
  fieldValue,
  hostnameOf,
  type PodFacts,
} from "./environment.ts";
import type { ContainerSpec, PodObject } from "./pod-types.ts";

const pod: PodObject = {
  metadata: {
    name: "web-1",
    namespace: "shop",
    uid: "u1",
    labels: { app: "web", tier: "a" },
    annotations: { note: 'say "hi"' },
  },
  spec: { serviceAccountName: "frontend", containers: [] },
};
const facts: PodFacts = { pod, nodeName: "n1", nodeIp: "172.30.0.11", podIps: ["10.244.1.2", "fd24::2"] };
const sources = new Map([
  [
    "configMap/settings",
    new Map([
      ["a", Buffer.from("1")],
      ["b", Buffer.from("2")],
    ]),
  ],
  ["secret/keys", new Map([["k", Buffer.from("hush")]])],
]);

function environment(container: Partial<ContainerSpec>): ReturnType<typeof containerEnvironment> {
  const image = { env: { PATH: "/bin" } };
  const named = { name: "c", image: "i", ...container };
  return containerEnvironment({ container: named, facts, sources, services: [], image });
}

test("image, cluster, envFrom and env, later ones winning; references see what came before", () => {
  const env = environment({
    envFrom: [{ prefix: "S_", configMapRef: { name: "settings" } }, { secretRef: { name: "keys" } }],
    env: [
      { name: "IP", valueFrom: { fieldRef: { fieldPath: "status.podIP" } } },
      { name: "URL", value: "http://$(IP):$(PORT)/$$(IP)/$(S_a)" },
      { name: "LIMIT", valueFrom: { resourceFieldRef: { resource: "limits.memory", divisor: "1Mi" } } },
      { name: "KEY", valueFrom: { secretKeyRef: { name: "keys", key: "k" } } },
      { name: "MAYBE", valueFrom: { configMapKeyRef: { name: "gone", key: "x", optional: true } } },
    ],
    resources: { limits: { memory: "1Gi" } },
  });
  assert.ok(env.ok);
  const { PATH, URL, LIMIT, KEY, S_b, k, HOSTNAME, KUBERNETES_SERVICE_HOST } = env.value;
  assert.deepEqual(
    { PATH, URL, LIMIT, KEY, S_b, k, HOSTNAME, KUBERNETES_SERVICE_HOST },
    {
      PATH: "/bin",
      URL: "http://10.244.1.2:$(PORT)/$(IP)/1",
      LIMIT: "1024",
      KEY: "hush",
      S_b: "2",
      k: "hush",
      HOSTNAME: "web-1",
      KUBERNETES_SERVICE_HOST: "10.96.0.1",
    },
  );
  assert.equal("MAYBE" in env.value, false);
});

const missing = [
  {
    name: "a ConfigMap",
    container: { envFrom: [{ configMapRef: { name: "gone" } }] },
    says: "configMap/gone not found",
  },
  {
    name: "a key",
    container: { env: [{ name: "X", valueFrom: { secretKeyRef: { name: "keys", key: "other" } } }] },
    says: "couldn't find key other in secret/keys",
  },
  {
    name: "a field",
    container: { env: [{ name: "X", valueFrom: { fieldRef: { fieldPath: "spec.secrets" } } }] },
    says: "is not a field of the downward API",
  },
  {
    name: "a source",
    container: { env: [{ name: "X", valueFrom: {} }] },
    says: "has no source that is known here",
  },
];
for (const c of missing) {
  test(`the container does not start without ${c.name}`, () => {
    const env = environment(c.container);
    assert.equal(env.ok, false);
    assert.equal(env.ok === false && env.problems[0]?.message, c.says);
  });
}

test("fields of the downward API", () => {
  const read = (path: string): string => {
    const value = fieldValue(path, facts);
    return value.ok ? value.value : "?";
  };
  assert.equal(read("metadata.labels"), 'app="web"\ntier="a"');
  assert.equal(read("metadata.annotations['note']"), 'say "hi"');
  assert.equal(read("metadata.labels['none']"), "");
  assert.equal(read("status.podIPs"), "10.244.1.2,fd24::2");
  assert.equal(read("spec.nodeName"), "n1");
  assert.equal(read("metadata.finalizers"), "?");
});

test("references that nothing defines, and names of the prototype, stay as they are", () => {
  const text = "$(NOPE) $(toString) $(constructor) $ $x $(";
  assert.equal(expandReferences(text, {}), text);
});

test("a hostname is at most 63 characters and ends in a letter or digit", () => {
  const long = { ...pod, metadata: { ...pod.metadata, name: `${"a".repeat(62)}-b` } };
  assert.equal(hostnameOf(long), "a".repeat(62));
});
