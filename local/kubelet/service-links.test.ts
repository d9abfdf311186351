import assert from "node:assert/strict";
import { test } from "node:test";
import { serviceLinks } from "./service-links.ts";

test("variables of a service are those that a real kubelet made of it", () => {
  const ports = [
    { name: "5432-5432", port: 5432, protocol: "TCP" },
    { name: "8080-80", port: 8080, protocol: "TCP" },
  ];
  assert.deepEqual(serviceLinks([{ name: "my-db", clusterIp: "10.96.0.7", ports }]), {
    MY_DB_PORT: "tcp://10.96.0.7:5432",
    MY_DB_PORT_5432_TCP: "tcp://10.96.0.7:5432",
    MY_DB_PORT_5432_TCP_ADDR: "10.96.0.7",
    MY_DB_PORT_5432_TCP_PORT: "5432",
    MY_DB_PORT_5432_TCP_PROTO: "tcp",
    MY_DB_PORT_8080_TCP: "tcp://10.96.0.7:8080",
    MY_DB_PORT_8080_TCP_ADDR: "10.96.0.7",
    MY_DB_PORT_8080_TCP_PORT: "8080",
    MY_DB_PORT_8080_TCP_PROTO: "tcp",
    MY_DB_SERVICE_HOST: "10.96.0.7",
    MY_DB_SERVICE_PORT: "5432",
    MY_DB_SERVICE_PORT_5432_5432: "5432",
    MY_DB_SERVICE_PORT_8080_80: "8080",
  });
});

test("services without an address or without ports have none", () => {
  const ports = [{ port: 80 }];
  assert.deepEqual(
    serviceLinks([
      { name: "headless", clusterIp: "None", ports },
      { name: "external", clusterIp: "", ports },
      { name: "empty", clusterIp: "10.96.0.8", ports: [] },
    ]),
    {},
  );
});
