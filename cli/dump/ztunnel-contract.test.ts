/** The other end: what Ambit's own ztunnel dumps is what the tables read. */
import assert from "node:assert/strict";
import test from "node:test";
import { createFileCa } from "#core/identity/file-ca.ts";
import { publicCertificate } from "#core/identity/certificate.ts";
import { spiffeId } from "#core/model/spiffe-id.ts";
import { AUTOMATIC_WAYPOINT, waypointAddress } from "#core/model/waypoint.ts";
import { ip } from "#core/net/ip.ts";
import { aService, aStrictPolicy, aWorkload } from "#core/testing/builders.ts";
import { dumpMesh } from "#core/state/config-dump.ts";
import { dumpCertificates } from "#core/state/dump-certificates.ts";
import { MeshState } from "#core/state/mesh-state.ts";
import { certificateTable, policyTable, serviceTable, workloadTable } from "./tables.ts";
import { parseZtunnelDump, type ZtunnelDump } from "./ztunnel-dump.ts";

function dumped(parts: object): ZtunnelDump {
  const dump = parseZtunnelDump(JSON.stringify(parts));
  assert.ok(dump.ok);
  return dump.value;
}

test("workloads, services and policies of a mesh state appear in their tables", () => {
  const state = new MeshState();
  const waypoint = aService({ name: "waypoint", vips: [{ network: "", ip: ip("10.96.0.44") }] });
  const address = { network: "", ip: ip("10.96.0.44") };
  const gateway = { destination: { kind: "address", address }, hboneMtlsPort: 15_008 } as const;
  state.commit({
    upserts: [
      { kind: "workload", workload: aWorkload({ waypoint: gateway }) },
      { kind: "service", service: aService() },
      { kind: "service", service: waypoint },
      { kind: "authorization", policy: aStrictPolicy() },
    ],
    removals: [],
  });
  const dump = dumped(dumpMesh(state));
  assert.equal(
    workloadTable(dump.workloads, dump.services),
    "NAMESPACE POD NAME ADDRESS  NODE  WAYPOINT PROTOCOL\ndefault   web-1    10.0.0.5 node1 waypoint HBONE\n",
  );
  assert.match(serviceTable(dump.services, dump.services), /^default +web +10\.96\.0\.7 +None +0\/0$/m);
  assert.match(
    policyTable(dump.policies),
    /^istio-system istio_converted_static_strict Deny +WorkloadSelector$/m,
  );
});

test("what is bound to the namespace's automatic waypoint shows its name, and NA while its service is not known", () => {
  const state = new MeshState();
  const waypoint = waypointAddress("shop", AUTOMATIC_WAYPOINT, "cluster.local");
  const upserts = [
    { kind: "workload", workload: aWorkload({ waypoint }) },
    { kind: "service", service: aService({ waypoint }) },
  ] as const;
  state.commit({ upserts, removals: [] });
  const before = dumped(dumpMesh(state));
  assert.match(workloadTable(before.workloads, before.services), / NA +HBONE\n$/);
  const service = aService({ name: AUTOMATIC_WAYPOINT, namespace: "shop", vips: [] });
  state.commit({ upserts: [{ kind: "service", service }], removals: [] });
  const after = dumped(dumpMesh(state));
  assert.match(workloadTable(after.workloads, after.services), / ambit-waypoint +HBONE\n$/);
  assert.match(
    serviceTable(after.services, after.services),
    /^default +web +10\.96\.0\.7 +ambit-waypoint +0\/0$/m,
  );
});

test("a certificate's serial number is the one that the access log has, and no key is in the dump", () => {
  const identity = spiffeId({ trustDomain: "cluster.local", namespace: "shop", serviceAccount: "catalog" });
  const ca = createFileCa({ trustDomain: "cluster.local" });
  for (let i = 0; i < 20; i++) {
    const certificate = ca.issueNow(identity);
    const state = { kind: "available", certificate: publicCertificate(certificate) } as const;
    const json = { certificates: dumpCertificates([{ identity, state }]) };
    assert.equal(JSON.stringify(json).includes("PRIVATE"), false);
    const table = certificateTable(dumped(json).certificates, Date.now());
    assert.ok(table.includes(` ${certificate.serial} `), `${certificate.serial} in\n${table}`);
    assert.match(table, /shop\/sa\/catalog +Leaf +Available +true /);
    assert.match(table, /shop\/sa\/catalog +Root +Available +true /);
  }
});
