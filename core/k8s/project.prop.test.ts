import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import {
  projectConfigMap,
  projectCustom,
  projectEndpointSlice,
  projectNamespace,
  projectNode,
  projectPod,
  projectService,
} from "./project.ts";

const KEYS = [
  "metadata",
  "spec",
  "status",
  "containers",
  "ports",
  "name",
  "labels",
  "podIPs",
  "ip",
  "endpoints",
  "conditions",
  "clusterIPs",
];

test("projections of any JSON never throw and keep the shape", () => {
  const json = fc.letrec((tie) => ({
    value: fc.oneof(
      { maxDepth: 4 },
      fc.jsonValue(),
      fc.dictionary(fc.constantFrom(...KEYS), tie("value")),
      fc.array(tie("value"), { maxLength: 3 }),
    ),
  })).value;
  fc.assert(
    fc.property(json, (value) => {
      const pod = projectPod(value);
      assert.equal(typeof pod.metadata.name, "string");
      assert.ok(pod.ips.every((ip) => typeof ip === "string"));
      for (const project of [
        projectNode,
        projectNamespace,
        projectService,
        projectEndpointSlice,
        projectCustom,
        projectConfigMap,
      ]) {
        assert.equal(typeof project(value).metadata.namespace, "string");
      }
    }),
    { numRuns: 2_000 },
  );
});

test("probes and lifecycle handlers that point elsewhere are found, loopback ones are not", () => {
  const pod = projectPod({
    spec: {
      containers: [
        {
          livenessProbe: { httpGet: { host: "10.0.0.9" } },
          readinessProbe: { tcpSocket: { host: "127.0.0.1" } },
        },
        { lifecycle: { preStop: { httpGet: { host: "victim" } } }, startupProbe: { httpGet: { path: "/" } } },
      ],
      initContainers: [{ lifecycle: { postStart: { tcpSocket: { host: "localhost" } } } }],
    },
  });
  assert.deepEqual(pod.foreignProbeHosts, ["10.0.0.9", "victim"]);
});
