/** The tables against golden files, and which pods are asked for them. */
import assert from "node:assert/strict";
import test, { describe } from "node:test";
import { aPod, golden, runAmbit, testdata, testdataPath, type FakeCluster } from "../testing.ts";
import { ExitCode } from "../exit-codes.ts";
import { loggingQuery } from "./ztunnel-config/log.ts";

const DUMP = testdataPath("config-dump.json");

const tables = [
  { file: "workload.txt", words: "ztunnel-config workload" },
  { file: "workload-namespace.txt", words: "zc w --workload-namespace shop" },
  { file: "service.txt", words: "zc svc" },
  { file: "policy.txt", words: "zc pol" },
  { file: "certificate.txt", words: "zc certs" },
  { file: "connections.txt", words: "zc cons" },
  { file: "connections-raw-inbound.txt", words: "zc connections --raw --direction inbound" },
  { file: "all.txt", words: "zc all" },
  { file: "all-with-headers.txt", words: "zc all --with-headers" },
  { file: "service.json", words: "zc service --service-namespace default -o json" },
  { file: "policy.yaml", words: "zc policy --policy-namespace istio-system -o yaml" },
];

for (const { file, words } of tables) {
  test(`ambit ${words} prints ${file}`, async () => {
    const { exit, out, err } = await runAmbit(`${words} -f ${DUMP}`);
    assert.deepEqual([exit, err], [ExitCode.ok, ""]);
    assert.equal(out, golden(file, out));
  });
}

test("a dump reads the same from standard input, and what all -o json prints is a dump again", async () => {
  const first = await runAmbit(`zc workload -f ${DUMP}`);
  const all = await runAmbit(`zc all -o json -f ${DUMP}`);
  const again = await runAmbit("zc workload -f -", undefined, all.out);
  assert.equal(again.out, first.out);
});

test("lists and maps, and keys in another letter case, read the same", async () => {
  const { workloads, services, ...rest } = JSON.parse(testdata("config-dump.json")) as Record<
    string,
    unknown[]
  >;
  const other = {
    ...rest,
    Workloads: Object.fromEntries((workloads ?? []).map((w, i) => [`k${i}`, w])),
    SERVICES: services,
  };
  const { out } = await runAmbit("zc workload -f -", undefined, JSON.stringify(other));
  assert.equal(out, testdata("workload.txt"));
});

const refused = [
  { name: "no JSON", input: "hello", message: /standard input gave is not JSON/ },
  { name: "another JSON", input: '{"a":1}', message: /not a ztunnel's configuration dump/ },
  { name: "a list", input: "[]", message: /not a ztunnel's configuration dump/ },
];
for (const { name, input, message } of refused) {
  test(`refuses a dump that is ${name}`, async () => {
    const { exit, err, out } = await runAmbit("zc w -f -", undefined, input);
    assert.equal(exit, ExitCode.failed);
    assert.match(err, message);
    assert.equal(out, "");
  });
}

test("a dump full of wrong types shows empty cells instead of failing", async () => {
  const odd = {
    workloads: [1, null, { name: 5, workloadIps: "x", waypoint: 3 }],
    services: [{ vips: [1], endpoints: 7 }],
    policies: {},
    certificates: [{ certChain: [null], rootCerts: 3 }],
    workloadState: { a: { connections: 5, info: [] } },
  };
  const { exit } = await runAmbit("zc all -f -", undefined, JSON.stringify(odd));
  assert.equal(exit, ExitCode.ok);
});

const dumpOf = (podName: string, ip: string): string =>
  JSON.stringify({
    workloads: [
      { name: "shared", namespace: "shop", workloadIps: ["10.1.1.1"], node: "n1", protocol: "HBONE" },
      { name: "other", namespace: "shop", workloadIps: ["10.1.1.2"], node: "n2", protocol: "HBONE" },
    ],
    services: [],
    policies: [],
    certificates: [
      { identity: `spiffe://cluster.local/ns/shop/sa/${podName}`, state: "Initializing", certChain: [] },
    ],
    workloadState: {
      [podName]: {
        info: { name: podName, namespace: "shop" },
        connections: {
          inbound: [{ src: ip, originalDst: "", actualDst: "10.1.1.1:80", protocol: "HBONE" }],
          outbound: [],
        },
      },
    },
  });

const CLUSTER: FakeCluster = {
  pods: [
    aPod({ name: "ztunnel-aaaaa", node: "n1", ready: false }),
    aPod({ name: "ztunnel-bbbbb", node: "n2" }),
    aPod({ name: "ztunnel-ccccc", node: "n3", running: false, ready: false }),
    aPod({ name: "istio-cni-node-11111", node: "n1", owner: "DaemonSet/istio-cni-node" }),
    aPod({ name: "istio-cni-node-22222", node: "n2", owner: "DaemonSet/istio-cni-node" }),
    aPod({ name: "fake-ztunnel", node: "n2", owner: "" }),
    aPod({ namespace: "shop", name: "shared", node: "n1", owner: "ReplicaSet/x" }),
    aPod({ namespace: "default", name: "lonely", node: "n9", owner: "" }),
  ],
  replies: {
    "GET istio-system/ztunnel-aaaaa:15000/config_dump": dumpOf("a", "10.9.9.1:1"),
    "GET istio-system/ztunnel-bbbbb:15000/config_dump": dumpOf("b", "10.9.9.2:2"),
    "GET istio-system/istio-cni-node-11111:15030/connections": JSON.stringify({
      connections: [
        { namespace: "shop", name: "a", direction: "inbound", local: "10.1.1.1:80", remote: "10.9.9.3:3" },
      ],
    }),
    "GET istio-system/istio-cni-node-22222:15030/connections": JSON.stringify({ connections: [] }),
    "POST istio-system/ztunnel-aaaaa:15000/logging": "current log level is info\n",
    "POST istio-system/ztunnel-bbbbb:15000/logging": "current log level is debug\n",
    "POST istio-system/ztunnel-bbbbb:15000/logging?level=debug": "current log level is debug\n",
  },
};

test("one ready ztunnel is asked for what all know", async () => {
  const { exit, requests } = await runAmbit("zc workload", CLUSTER);
  assert.equal(exit, ExitCode.ok);
  assert.deepEqual(requests, ["GET istio-system/ztunnel-bbbbb:15000/config_dump"]);
});

test("every running ztunnel is asked for certificates", async () => {
  const { out, requests } = await runAmbit("zc certificate", CLUSTER);
  assert.equal(requests.length, 2);
  assert.match(out, /sa\/a /);
  assert.match(out, /sa\/b /);
});

test("connections come from every ztunnel and agent, older ones marked", async () => {
  const { exit, out, err } = await runAmbit("zc connections --raw", CLUSTER);
  assert.deepEqual([exit, err], [ExitCode.ok, ""]);
  assert.equal(
    out,
    "WORKLOAD DIRECTION LOCAL       REMOTE     REMOTE TARGET PROTOCOL\n" +
      "a.shop   Inbound   10.1.1.1:80 10.9.9.1:1               HBONE\n" +
      "a.shop   Inbound   10.1.1.1:80 10.9.9.3:3               pre-enrolment\n" +
      "b.shop   Inbound   10.1.1.1:80 10.9.9.2:2               HBONE\n",
  );
});

test("older connections are in the JSON too", async () => {
  const { out } = await runAmbit("zc connections -o json", CLUSTER);
  const pods = JSON.parse(out) as readonly {
    readonly preEnrolment?: readonly { readonly remote: string }[];
  }[];
  assert.deepEqual(
    pods.map((pod) => pod.preEnrolment?.map((c) => c.remote)),
    [["10.9.9.3:3"], undefined],
  );
});

test("an agent that is silent is a sentence and a failure, never an empty list", async () => {
  const replies = {
    ...CLUSTER.replies,
    "GET istio-system/istio-cni-node-22222:15030/connections": { status: 500, body: "" },
  };
  const broken = await runAmbit("zc cons", { ...CLUSTER, replies });
  assert.equal(broken.exit, ExitCode.failed);
  assert.match(
    broken.err,
    /older than the enrolment are unknown: istio-cni-node-22222 \(node n2\): \/connections answered 500/,
  );
  const without = { ...CLUSTER, pods: CLUSTER.pods.filter((pod) => pod.name !== "istio-cni-node-11111") };
  assert.match((await runAmbit("zc cons", without)).err, /no agent runs on node n1/);
  const garbage = { ...CLUSTER.replies, "GET istio-system/istio-cni-node-11111:15030/connections": "[]" };
  assert.match(
    (await runAmbit("zc cons", { ...CLUSTER, replies: garbage })).err,
    /connections: is not a list/,
  );
});

describe("a pod that is labelled for the mesh and not in it", () => {
  const AGENT = "GET istio-system/istio-cni-node-11111:15030/skipped";
  const dump = JSON.stringify({
    workloads: [
      { name: "tool", namespace: "istio-system", workloadIps: ["10.1.1.9"], node: "n1", protocol: "TCP" },
    ],
    services: [],
    policies: [],
    certificates: [],
    workloadState: {},
  });
  const tool = aPod({ name: "tool", node: "n1", owner: "" });
  const world = (answer: FakeCluster["replies"][string] | undefined): FakeCluster => ({
    pods: [...CLUSTER.pods, tool],
    replies: {
      ...CLUSTER.replies,
      "GET istio-system/ztunnel-aaaaa:15000/config_dump": dump,
      ...(answer !== undefined && { [AGENT]: answer }),
    },
  });
  const skipped = (name: string): string =>
    JSON.stringify({ pods: [{ namespace: "istio-system", name, reason: "system-namespace" }] });

  test("is shown with the reason", async () => {
    const { exit, out, err } = await runAmbit("zc w tool.istio-system", world(skipped("tool")));
    assert.equal(exit, ExitCode.ok);
    assert.match(out, /tool .*TCP/);
    assert.equal(
      err,
      "istio-system/tool is labelled for the mesh and not in it: pods of the mesh's own namespace are never captured (system-namespace)\n",
    );
  });

  test("has no reason when the agent gives none of it, and an agent that does not say is said", async () => {
    assert.equal((await runAmbit("zc w tool.istio-system", world(skipped("other")))).err, "");
    for (const [answer, problem] of [
      [{ status: 404, body: "" }, /unknown: istio-cni-node-11111 \(node n1\): \/skipped answered 404/],
      ["{}", /pods: is not a list/],
      ["nonsense", /is not JSON/],
      [undefined, /Why it is not in the mesh is unknown: /],
    ] as const) {
      const { exit, err } = await runAmbit("zc w tool.istio-system", world(answer));
      assert.equal(exit, ExitCode.ok);
      assert.match(err, problem);
    }
  });
});

test("a node, a ztunnel pod, or any pod leads to its ztunnel", async () => {
  for (const words of [
    "zc cert --node n1",
    "zc cert ztunnel-aaaaa.istio-system",
    "zc cert ztunnel-aaaaa",
    "zc cert shared.shop",
    "zc cert -n shop pod/shared",
  ]) {
    const { requests } = await runAmbit(words, CLUSTER);
    assert.deepEqual(requests, ["GET istio-system/ztunnel-aaaaa:15000/config_dump"], words);
  }
});

test("a pod limits workloads and connections to itself", async () => {
  const workloads = await runAmbit("zc workload shared.shop", CLUSTER);
  assert.equal(workloads.out.split("\n").length, 3);
  const connections = await runAmbit("zc connections shared.shop", CLUSTER);
  assert.equal(connections.out.split("\n").length, 2);
});

const failures = [
  {
    words: "zc w nobody",
    exit: ExitCode.notFound,
    message: /no pod nobody in namespace default or istio-system/,
  },
  {
    words: "zc w lonely",
    exit: ExitCode.notFound,
    message: /no ztunnel runs on node "n9"; they run on n2, n1/,
  },
  { words: "zc w --node n3", exit: ExitCode.notFound, message: /no ztunnel runs on node "n3"/ },
  { words: "zc w --node n1 shared", exit: ExitCode.usage, message: /exclude each other/ },
  { words: "zc w --node n1 -f x", exit: ExitCode.usage, message: /exclude each other/ },
  {
    words: "zc w -i elsewhere",
    exit: ExitCode.notFound,
    message: /no ztunnel pod in namespace elsewhere[^]*--istio-namespace/,
  },
  { words: "zc w --proxy-admin-port 1", exit: ExitCode.unreachable, message: /cannot reach[^]*kubectl logs/ },
  { words: "zc log --reset --level debug", exit: ExitCode.usage, message: /exclude each other/ },
  { words: "zc log --level nonsense --node n2", exit: ExitCode.unreachable, message: /cannot reach/ },
];
for (const { words, exit, message } of failures) {
  test(`ambit ${words} fails with a sentence`, async () => {
    const outcome = await runAmbit(words, CLUSTER);
    assert.equal(outcome.exit, exit);
    assert.match(outcome.err, message);
  });
}

test("without a cluster the sentence says what to do", async () => {
  const { exit, err } = await runAmbit("zc w");
  assert.equal(exit, ExitCode.unreachable);
  assert.match(err, /Set KUBECONFIG/);
});

test("ztunnels that exist but do not run are counted", async () => {
  const pods = [aPod({ name: "ztunnel-ccccc", running: false })];
  assert.match((await runAmbit("zc w", { pods, replies: {} })).err, /1 exist, but none runs/);
});

test("log asks every ztunnel, or one", async () => {
  const all = await runAmbit("zc log", CLUSTER);
  assert.equal(
    all.out,
    "ztunnel-bbbbb.istio-system:\ncurrent log level is debug\nztunnel-aaaaa.istio-system:\ncurrent log level is info\n",
  );
  const one = await runAmbit("zc log --level debug --node n2", CLUSTER);
  assert.deepEqual(one.requests, ["POST istio-system/ztunnel-bbbbb:15000/logging?level=debug"]);
});

test("levels are sent in ztunnel's words", () => {
  assert.deepEqual(
    ["warning", "access:Debug, xds:critical", "info"].map((level) =>
      decodeURIComponent(loggingQuery(level, false)),
    ),
    ["?level=warn", "?level=access:debug, xds:error", "?level=info"],
  );
  assert.deepEqual([loggingQuery(undefined, false), loggingQuery(undefined, true)], ["", "?reset"]);
});
