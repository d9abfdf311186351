import assert from "node:assert/strict";
import test from "node:test";
import { ExitCode } from "../exit-codes.ts";
import { aPod, golden, runAmbit, testdata, testdataPath, type FakeCluster } from "../testing.ts";

const SYNCZ = testdataPath("syncz.json");
const controller = aPod({ name: "ambit-controller-5d9c8-qqqqq", owner: "ReplicaSet/ambit-controller-5d9c8" });
const cluster = (body: string, status = 200): FakeCluster => ({
  pods: [controller],
  replies: { "GET istio-system/ambit-controller-5d9c8-qqqqq:8080/debug/syncz": { status, body } },
});
const HEALTHY = JSON.stringify([
  {
    node: { id: "ztunnel-1.istio-system", metadata: { CLUSTER_ID: "c1", ISTIO_VERSION: "0.1.0" } },
    generic_xds_configs: [
      { type_url: "type.googleapis.com/istio.workload.Address", config_status: "SYNCED" },
    ],
  },
]);

for (const { file, words } of [
  { file: "proxy-status.txt", words: "proxy-status" },
  { file: "proxy-status-verbose.txt", words: "ps -v 1" },
]) {
  test(`ambit ${words} prints ${file}, and fails since a proxy refused`, async () => {
    const { exit, out, err } = await runAmbit(`${words} -f ${SYNCZ}`);
    assert.equal(out, golden(file, out));
    assert.equal(exit, ExitCode.failed);
    assert.equal(err, "ztunnel-x9w4d.istio-system refused its WADS configuration: its log says why\n");
  });
}

test("asks the controller, and is content when all is well", async () => {
  const { exit, out, err } = await runAmbit("ps", cluster(HEALTHY));
  assert.deepEqual([exit, err], [ExitCode.ok, ""]);
  assert.match(out, /ztunnel-1\.istio-system +c1 +ambit-controller-5d9c8-qqqqq +0\.1\.0 +1 \(WDS\)/);
});

test("waypoints are listed beside ztunnels, with their own type", async () => {
  const [ztunnel] = JSON.parse(HEALTHY) as readonly Readonly<Record<string, unknown>>[];
  const types = ["istio.workload.Address", "ambit.waypoint.v1.WaypointConfig"];
  const waypoint = {
    node: { id: "waypoint~10.244.1.9~ambit-waypoint-6c9-x2x2x.shop~shop.svc.cluster.local" },
    generic_xds_configs: types.map((type) => ({
      type_url: `type.googleapis.com/${type}`,
      config_status: "SYNCED",
    })),
  };
  const { exit, out } = await runAmbit("ps", cluster(JSON.stringify([ztunnel, waypoint])));
  assert.equal(exit, ExitCode.ok);
  assert.match(out, /^ambit-waypoint-6c9-x2x2x\.shop .* 2 \(WDS,WAYPOINT\)$/m);
  assert.match(out, /^ztunnel-1\.istio-system /m);
});

test("a name limits the list; a name that nobody has is a failure with a sentence", async () => {
  assert.equal((await runAmbit(`ps b7k2p -f ${SYNCZ}`)).exit, ExitCode.ok);
  const none = await runAmbit("ps nobody", cluster(HEALTHY));
  assert.deepEqual([none.exit, none.out], [ExitCode.failed, ""]);
  assert.match(none.err, /No connected proxy has "nobody"/);
});

test("JSON is what the controller answered, limited to the name", async () => {
  const { out } = await runAmbit(`ps b7k2p -o json -f ${SYNCZ}`);
  const all = JSON.parse(testdata("syncz.json")) as { readonly resources: readonly unknown[] };
  assert.deepEqual(JSON.parse(out), { resources: [all.resources[1]] });
});

for (const { name, body, status, exit, message } of [
  {
    name: "no proxy at all",
    body: "[]",
    status: 200,
    exit: ExitCode.failed,
    message: /No proxy is connected/,
  },
  { name: "an error", body: "", status: 500, exit: ExitCode.failed, message: /answered 500/ },
  { name: "garbage", body: "<html>", status: 200, exit: ExitCode.failed, message: /is not JSON/ },
  {
    name: "another JSON",
    body: "{}",
    status: 200,
    exit: ExitCode.failed,
    message: /resources: is not a list/,
  },
]) {
  test(`a controller that answers ${name} gives a sentence`, async () => {
    const outcome = await runAmbit("ps", cluster(body, status));
    assert.equal(outcome.exit, exit);
    assert.match(outcome.err, message);
  });
}

test("without a controller the sentence says where to look", async () => {
  const { exit, err } = await runAmbit("ps", { pods: [], replies: {} });
  assert.equal(exit, ExitCode.notFound);
  assert.match(err, /no controller pod in namespace istio-system: there is none/);
});

test("version names the proxies' versions, and survives without a cluster", async () => {
  const { out } = await runAmbit("version", cluster(HEALTHY));
  assert.match(out, /^client version: \d+\.\d+\.\d+\ndata plane version: 0\.1\.0 \(1 proxy\)\n$/);
  const alone = await runAmbit("version");
  assert.equal(alone.exit, ExitCode.ok);
  assert.match(alone.out, /data plane version: unknown \(no Kubernetes cluster is configured\)/);
  assert.match((await runAmbit("version --client")).out, /^client version: [^\n]*\n$/);
});

test("the proxy's own words say why it refused, without steering the terminal", async () => {
  const refusing = JSON.parse(HEALTHY) as Record<string, unknown>[];
  const config = {
    typeUrl: "type.googleapis.com/istio.security.Authorization",
    configStatus: "ERROR",
    errorState: { details: "shop/p: bad rule\u001b[2J" },
  };
  const { exit, err } = await runAmbit(
    "ps",
    cluster(JSON.stringify([{ ...refusing[0], genericXdsConfigs: [config] }])),
  );
  assert.equal(exit, ExitCode.failed);
  assert.equal(err, "ztunnel-1.istio-system refused its WADS configuration: shop/p: bad rule?[2J\n");
});
