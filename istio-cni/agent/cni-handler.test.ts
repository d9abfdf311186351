/** Each verb as the plugin forwards it. Everything that is doubtful fails ADD with a sentence. */
import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { test } from "node:test";
import { createAnonymousNetns, type Netns } from "#core/linux/netns.ts";
import type { NamespaceObject, PodObject } from "#core/k8s/object-types.ts";
import { createLog } from "#core/runtime/log.ts";
import { CNI_ERROR, type CniError } from "../plugin/protocol.ts";
import { CniHandler } from "./cni-handler.ts";
import { RefusalCounts } from "./refusals.ts";
import type { PodCaptureState, VerifyOutcome } from "../capture/capture.ts";
import { type FakeCapture, fakeCapture } from "./test/fake-capture.ts";
import { aDataplane } from "./test/a-dataplane.ts";
import { aNamespace, aPod } from "./test/objects.ts";

const PREV = { cniVersion: "1.0.0", ips: [{ address: "10.244.1.5/24" }] };
const UID = aPod().metadata.uid;

interface World {
  readonly pod?: PodObject | undefined;
  readonly namespace?: NamespaceObject;
  readonly notReady?: string;
  /** Where processes of the pod run already. */
  readonly running?: Netns;
}

const WHOLE: PodCaptureState = {
  attachment: "tcx",
  draining: false,
  listeners: { inbound: true, outbound: true, hbone: true },
  counters: {} as PodCaptureState["counters"],
  capturedOutbound: 0,
  capturedInbound: 0,
  podIps: [],
};

interface Scene {
  readonly capture: FakeCapture;
  readonly handler: CniHandler;
  readonly calls: string[];
  readonly lines: string[];
  readonly refusals: RefusalCounts;
}

function handlerFor(world: World): Scene {
  const calls: string[] = [];
  const lines: string[] = [];
  const refusals = new RefusalCounts();
  const capture = fakeCapture(calls);
  capture.state = WHOLE;
  const dataplane = aDataplane(capture);
  const handler = new CniHandler({
    nodeName: "n1",
    systemNamespace: "istio-system",
    excludedNamespaces: ["kube-system"],
    dataplane,
    findPod: (_namespace, _name, uid) =>
      Promise.resolve(world.pod?.metadata.uid === uid ? world.pod : undefined),
    findNamespace: () => Promise.resolve(world.namespace ?? aNamespace("ambient")),
    findNetns: () =>
      world.running === undefined
        ? { kind: "none", reason: "the pod has no running process" }
        : { kind: "found", netns: world.running, pid: 4_711 },
    notReady: () => world.notReady,
    refusals,
    log: createLog("cni", { level: "debug", write: (line) => lines.push(line) }).root,
  });
  return { handler, capture, calls, lines, refusals };
}

function headers(
  command: string,
  change: Readonly<Record<string, string>> = {},
): Readonly<Record<string, string>> {
  return {
    "cni-command": command,
    "cni-containerid": "c1",
    "cni-netns": "/proc/self/ns/net",
    "cni-ifname": "eth0",
    "cni-args": `K8S_POD_NAMESPACE=shop;K8S_POD_NAME=web-1;K8S_POD_UID=${UID}`,
    ...change,
  };
}

const body = JSON.stringify({ cniVersion: "1.0.0", prevResult: PREV });

function errorOf(text: string): CniError {
  return JSON.parse(text) as CniError;
}

const REFUSED: readonly (readonly [string, World, Readonly<Record<string, string>>, number, RegExp])[] = [
  ["a pod that the API does not know", {}, {}, CNI_ERROR.tryLater, /not known to the API/],
  [
    "a pod of another uid",
    { pod: aPod({ metadata: { uid: "other" } }) },
    {},
    CNI_ERROR.tryLater,
    /not known/,
  ],
  [
    "a pod of another node",
    { pod: aPod({ node: "n2" }) },
    {},
    CNI_ERROR.enrolmentFailed,
    /belongs to node n2/,
  ],
  [
    "a probe with a foreign host",
    { pod: aPod({ foreignProbeHosts: ["10.0.0.9"] }) },
    {},
    CNI_ERROR.enrolmentFailed,
    /another host/,
  ],
  [
    "no ztunnel on the node",
    { pod: aPod(), notReady: "no ztunnel is connected" },
    {},
    CNI_ERROR.tryLater,
    /no ztunnel/,
  ],
  ["the node's own namespace", { pod: aPod() }, {}, CNI_ERROR.invalidEnvironment, /own network namespace/],
  [
    "a path that is no namespace",
    { pod: aPod() },
    { "cni-netns": "/etc/passwd" },
    CNI_ERROR.invalidEnvironment,
    /not a network namespace/,
  ],
  [
    "a namespace of another kind",
    { pod: aPod() },
    { "cni-netns": "/proc/self/ns/mnt" },
    CNI_ERROR.invalidEnvironment,
    /not a network namespace/,
  ],
  [
    "a path that is not there",
    { pod: aPod() },
    { "cni-netns": "/run/netns/none" },
    CNI_ERROR.invalidEnvironment,
    /not a network namespace/,
  ],
  ["no pod in CNI_ARGS", { pod: aPod() }, { "cni-args": "" }, CNI_ERROR.invalidEnvironment, /CNI_ARGS/],
];
for (const [name, world, change, code, message] of REFUSED) {
  test(`ADD fails: ${name}`, async () => {
    const { handler, calls, lines, refusals } = handlerFor(world);
    const reply = await handler.handle(headers("ADD", change), body);
    assert.equal(reply.status, 500);
    assert.equal(errorOf(reply.body).code, code);
    assert.match(errorOf(reply.body).msg, message);
    assert.deepEqual(calls, [], "nothing was captured");
    assert.equal(refusals.of("cni-request"), 1);
    assert.equal(lines.length, 1, "one line for the operator");
    assert.match(lines[0] ?? "", message);
  });
}

test("ADD without a previous result says that the plugin is in the wrong place", async () => {
  const { handler } = handlerFor({ pod: aPod() });
  const reply = await handler.handle(headers("ADD"), "{}");
  assert.equal(errorOf(reply.body).code, CNI_ERROR.invalidConfig);
});

test("a pod that is not enrolled passes through with its result unchanged, ztunnel or not", async () => {
  const { handler, calls } = handlerFor({
    pod: aPod(),
    namespace: aNamespace(undefined),
    notReady: "no ztunnel",
  });
  const reply = await handler.handle(headers("ADD"), body);
  assert.deepEqual([reply.status, JSON.parse(reply.body)], [200, PREV]);
  assert.deepEqual(calls, []);
});

test("an unreadable request is CNI error JSON too", async () => {
  const { handler, refusals, lines } = handlerFor({});
  assert.equal(errorOf((await handler.handle(headers("ADD"), "{")).body).code, CNI_ERROR.undecodableInput);
  assert.equal(errorOf((await handler.handle({}, "{}")).body).code, CNI_ERROR.invalidEnvironment);
  assert.deepEqual([refusals.of("cni-request"), lines.length], [2, 2], "counted and said");
});

test("DEL and CHECK of what this agent never saw succeed; STATUS tells whether pods could start", async () => {
  const { handler } = handlerFor({});
  assert.equal((await handler.handle(headers("DEL"), body)).status, 200);
  assert.equal((await handler.handle(headers("CHECK"), body)).status, 200);
  assert.equal((await handler.handle({ "cni-command": "STATUS" }, "{}")).status, 200);
  const busy = handlerFor({ notReady: "no ztunnel is connected" });
  const reply = await busy.handler.handle({ "cni-command": "STATUS" }, "{}");
  assert.equal(errorOf(reply.body).code, CNI_ERROR.notAvailable);
});

const root = process.getuid?.() === 0 && existsSync("/proc/self/ns/net");

test(
  "ADD captures once, DEL ends it, GC ends what the runtime forgot",
  { skip: root ? false : "needs root" },
  async () => {
    const netns = createAnonymousNetns();
    try {
      const { handler, calls } = handlerFor({ pod: aPod() });
      const at = { "cni-netns": `/proc/${process.pid}/fd/${netns.fd}` };
      assert.equal((await handler.handle(headers("ADD", at), body)).status, 200);
      assert.equal((await handler.handle(headers("ADD", at), body)).status, 200);
      assert.deepEqual(calls, ["capture.enrol"]);
      assert.equal((await handler.handle(headers("CHECK", at), body)).status, 200);
      await refusesForeign(handler, netns);
      const keep = JSON.stringify({ "cni.dev/valid-attachments": [{ containerID: "c1", ifname: "eth0" }] });
      await handler.handle({ "cni-command": "GC" }, keep);
      assert.ok(!calls.includes("watch.close"));
      await handler.handle({ "cni-command": "GC" }, JSON.stringify({ "cni.dev/valid-attachments": [] }));
      assert.ok(calls.includes("watch.close"));
    } finally {
      netns.close();
    }
  },
);

test(
  "ADD fails: another namespace than that of the pod's running processes",
  { skip: root ? false : "needs root" },
  async () => {
    const [given, running] = [createAnonymousNetns(), createAnonymousNetns()];
    try {
      const at = { "cni-netns": `/proc/${process.pid}/fd/${given.fd}` };
      const { handler, calls } = handlerFor({ pod: aPod(), running });
      const reply = await handler.handle(headers("ADD", at), body);
      assert.equal(reply.status, 500);
      assert.match(errorOf(reply.body).msg, /not the network namespace in which process 4711/);
      assert.deepEqual(calls, []);
    } finally {
      given.close();
    }
  },
);

test(
  "CHECK fails when programs or listeners of the pod are gone, and says which",
  { skip: root ? false : "needs root" },
  async () => {
    const netns = createAnonymousNetns();
    try {
      const { handler, capture } = handlerFor({ pod: aPod() });
      const at = { "cni-netns": `/proc/${process.pid}/fd/${netns.fd}` };
      assert.equal((await handler.handle(headers("ADD", at), body)).status, 200);
      const check = async (container = "c1"): Promise<string> =>
        (await handler.handle(headers("CHECK", { ...at, "cni-containerid": container }), body)).body;
      const problem = { kind: "missing", message: "egress was not attached to eth0" } as const;
      const outcomes: readonly (readonly [VerifyOutcome, RegExp])[] = [
        [{ kind: "broken", problems: [problem] }, /egress was not attached to eth0/],
        [{ kind: "not-enrolled" }, /no longer captured/],
        [{ kind: "repaired", problems: [problem] }, /^$/],
        [{ kind: "intact" }, /^$/],
      ];
      for (const [outcome, said] of outcomes) {
        capture.verifyOutcome = outcome;
        assert.match(await check(), said);
        assert.match(
          await check("unknown-to-this-agent"),
          said,
          "after a restart the pod is known by its uid",
        );
      }
      capture.state = { ...WHOLE, listeners: { ...WHOLE.listeners, hbone: false } };
      assert.match(await check(), /listener \(hbone\)/);
    } finally {
      netns.close();
    }
  },
);

/** The same namespace for another pod would give that pod's identity to these processes. */
async function refusesForeign(handler: CniHandler, netns: Netns): Promise<void> {
  const other = headers("ADD", {
    "cni-containerid": "c2",
    "cni-netns": `/proc/${process.pid}/fd/${netns.fd}`,
  });
  const reply = await handler.handle(
    { ...other, "cni-args": other["cni-args"]?.replace(UID, "another-uid") ?? "" },
    body,
  );
  assert.equal(reply.status, 500);
}
