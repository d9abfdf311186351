import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import type { EndpointSliceObject, ServiceObject, VirtualPort } from "./service-ports.ts";
import { virtualPorts } from "./service-ports.ts";
import { serviceRuleset } from "./service-rules.ts";

const GOLDEN = join(import.meta.dirname, "testdata", "services.nft");

const web: ServiceObject = {
  metadata: { name: "web", namespace: "shop" },
  spec: {
    clusterIPs: ["10.96.0.20", "fd96::20"],
    ports: [
      { name: "http", port: 80 },
      { name: "dns", port: 53, protocol: "UDP" },
    ],
  },
};
const sticky: ServiceObject = {
  metadata: { name: "sticky", namespace: "shop" },
  spec: { clusterIP: "10.96.0.30", sessionAffinity: "ClientIP", ports: [{ port: 8080 }] },
};
const empty: ServiceObject = {
  metadata: { name: "empty", namespace: "shop" },
  spec: { clusterIP: "10.96.0.40", ports: [{ port: 80 }] },
};
const headless: ServiceObject = {
  metadata: { name: "headless", namespace: "shop" },
  spec: { clusterIP: "None", ports: [{ port: 80 }] },
};
const external: ServiceObject = {
  metadata: { name: "ext", namespace: "shop" },
  spec: { type: "ExternalName", externalName: "example.org" },
};
const dns: ServiceObject = {
  metadata: { name: "kube-dns", namespace: "kube-system" },
  spec: { clusterIP: "10.96.0.10", ports: [{ port: 53, protocol: "UDP" }] },
};

function slice(
  service: string,
  addressType: string,
  endpoints: EndpointSliceObject["endpoints"],
): EndpointSliceObject {
  return {
    metadata: {
      name: `${service}-${addressType}`,
      namespace: "shop",
      labels: { "kubernetes.io/service-name": service },
    },
    addressType,
    endpoints: endpoints ?? [],
    ports: [
      { name: "http", port: 8080, protocol: "TCP" },
      { name: "dns", port: 5353, protocol: "UDP" },
      { name: "", port: 9090, protocol: "TCP" },
    ],
  };
}
const ready = (...addresses: readonly string[]): NonNullable<EndpointSliceObject["endpoints"]> =>
  addresses.map((a) => ({ addresses: [a], conditions: { ready: true } }));
const slices = [
  slice("web", "IPv4", [
    ...ready("10.244.1.2", "10.244.2.2"),
    { addresses: ["10.244.9.9"], conditions: { ready: false } },
  ]),
  slice("web", "IPv6", ready("fd24:0:0:1::2")),
  slice("sticky", "IPv4", ready("10.244.1.2", "10.244.2.2", "10.244.2.3")),
];

test("services become the table of the golden file", () => {
  const ports = virtualPorts([web, sticky, empty, headless, external, dns], slices, new Set(["10.96.0.10"]));
  const text = serviceRuleset(ports);
  if (process.env["UPDATE_GOLDEN"] === "1") writeFileSync(GOLDEN, text);
  assert.equal(text, readFileSync(GOLDEN, "utf8"));
});

test("any order of the same services gives the same table", () => {
  const ports = virtualPorts([web, sticky, empty], slices, new Set());
  const turned = ports.toReversed().map((port) => ({ ...port, backends: port.backends.toReversed() }));
  assert.equal(serviceRuleset(ports), serviceRuleset(turned));
});

test("an address claimed twice appears once: nft would refuse the whole table", () => {
  const port: VirtualPort = { vip: "10.96.0.9", protocol: "tcp", port: 80, backends: [], affinity: false };
  const elements = serviceRuleset([port, { ...port, backends: [{ ip: "10.244.1.1", port: 1 }] }]).match(
    /10\.96\.0\.9 \. tcp \. 80/g,
  );
  assert.equal(elements?.length, 1);
});

test("endpoints that are not ready are used only when they still serve while terminating and no other is left", () => {
  const terminating = {
    addresses: ["10.244.1.9"],
    conditions: { ready: false, serving: true, terminating: true },
  };
  const only = virtualPorts([web], [slice("web", "IPv4", [terminating])], new Set());
  assert.deepEqual(only[0]?.backends, [{ ip: "10.244.1.9", port: 8080 }]);
  const both = virtualPorts([web], [slice("web", "IPv4", [terminating, ...ready("10.244.1.1")])], new Set());
  assert.deepEqual(both[0]?.backends, [{ ip: "10.244.1.1", port: 8080 }]);
});

test("what is not an address never reaches the table", () => {
  const bad = { ...web, spec: { ...web.spec, clusterIPs: ["10.96.0.20; flush ruleset"] } };
  assert.deepEqual(virtualPorts([bad], slices, new Set()), []);
  const badEndpoint = slice("web", "IPv4", ready("10.0.0.1 } }"));
  assert.deepEqual(virtualPorts([web], [badEndpoint], new Set())[0]?.backends, []);
});
