/** Ports that are kept from the automatic waypoint: read strictly, and the same for those who send, refuse and let pass. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import type { PodObject, ServiceObject } from "#core/k8s/object-types.ts";
import type { Workload } from "#core/model/workload.ts";
import { isDeclaredTcp } from "#core/state/declared-ports.ts";
import { MeshState } from "#core/state/mesh-state.ts";
import { aWorkload } from "#core/testing/builders.ts";
import { testMeshConfig } from "../test/builders.ts";
import { parseExcludedPorts } from "./excluded-ports.ts";
import { directPorts, podServices } from "./service-endpoints.ts";
import { translateService } from "./service.ts";

const WRONG: readonly string[] = [
  "http",
  "0",
  "65536",
  "-1",
  "+80",
  "080",
  "8e3",
  "0x50",
  "80-90",
  "80,",
  ",",
  "80 90",
  "80;90",
  "80,,90",
  "٨٠",
  "1".repeat(5_000),
  Array.from({ length: 65 }, (_, i) => i + 1).join(","),
];
for (const text of WRONG) {
  test(`${JSON.stringify(text.slice(0, 20))} is no list of ports, and excludes nothing`, () => {
    const read = parseExcludedPorts(text);
    assert.ok(!read.ok);
    assert.ok((read.problems[0]?.message.length ?? 0) < 120, "a message stays short");
  });
}

test("ports with commas between them, in any order and with blanks, are a list; nothing is an empty one", () => {
  const rows: readonly (readonly [string, readonly number[]])[] = [
    ["", []],
    ["  ", []],
    ["65535", [65_535]],
    [" 9000 ,80,9000", [80, 9_000]],
  ];
  for (const [text, ports] of rows) assert.deepEqual(parseExcludedPorts(text), { ok: true, value: ports });
});

test("any text is a list or is not, and never throws", () => {
  fc.assert(
    fc.property(fc.string(), (text) => {
      const read = parseExcludedPorts(text);
      if (read.ok) for (const port of read.value) assert.ok(Number.isInteger(port) && port > 0);
    }),
  );
});

const PORTS = [80, 5_432, 7_000] as const;
const servicePort = fc.record({
  name: fc.constantFrom("", "http-x", "tcp-x", "tls-x", "grpc", "odd"),
  appProtocol: fc.constantFrom("", "tcp", "kubernetes.io/h2c", "https"),
  target: fc.constantFrom(...PORTS),
});
const services = fc.array(fc.array(servicePort, { maxLength: 3 }), { maxLength: 3 });
const pod = { metadata: { namespace: "shop", name: "p" }, ports: [] } as unknown as PodObject;

test("a destination refuses exactly on those ports on which no source goes past the waypoint", () => {
  let direct = 0;
  fc.assert(
    fc.property(services, fc.subarray([...PORTS]), (lists, excluded) => {
      const objects = lists.map((ports, i) => service(`s${i}`, ports));
      const free = directPorts(pod, objects, excluded);
      const view = viewOf(objects, excluded);
      for (const port of PORTS)
        assert.equal(isDeclaredTcp(view.state, view.workload, port), free.includes(port), String(port));
      direct += free.length;
    }),
  );
  assert.ok(direct > 20, `only ${direct} ports were free`);
});

function service(
  name: string,
  ports: readonly { readonly name: string; readonly appProtocol: string; readonly target: number }[],
): ServiceObject {
  return {
    metadata: { namespace: "shop", name, generation: 1, labels: {}, annotations: {} },
    type: "ClusterIP",
    clusterIps: [],
    ipFamilies: [],
    ports: ports.map(({ target, ...port }, i) => ({
      ...port,
      port: 1_000 + i,
      targetPort: target,
      protocol: "TCP",
    })),
  } as unknown as ServiceObject;
}

function viewOf(
  objects: readonly ServiceObject[],
  excludedPorts: readonly number[],
): { readonly state: MeshState; readonly workload: Workload } {
  const state = new MeshState();
  const workload = aWorkload({ excludedPorts, services: podServices(objects, [], testMeshConfig) });
  const place = { waypoint: undefined, refusal: undefined, choice: { kind: "automatic" } } as const;
  const upserts = objects.flatMap((object) => {
    const { output } = translateService(object, { mesh: testMeshConfig, namespace: undefined, place });
    return output === undefined ? [] : [{ kind: "service", service: output } as const];
  });
  state.commit({ upserts: [...upserts, { kind: "workload", workload }], removals: [] });
  return { state, workload };
}
