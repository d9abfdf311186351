/** Un-installation: the API alone can ask for it; what would bring capture or plugin back ends before they go. */
import assert from "node:assert/strict";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, watch, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { kubeClientFor } from "#core/k8s/load-config.ts";
import { podUid } from "#core/model/ids.ts";
import { silentLogger } from "#core/runtime/log.ts";
import { FakeKubeApi } from "#core/testing/fake-kube-api.ts";
import { keepInstalled, uninstallPlugin } from "../install/install-plugin.ts";
import { PLUGIN_TYPE } from "../plugin/protocol.ts";
import { removeFromNode, type RemovalDeps } from "./removal.ts";
import { aDataplane } from "./test/a-dataplane.ts";
import { fakeCapture } from "./test/fake-capture.ts";
import { aNetns } from "./test/objects.ts";
import { whyStopping } from "./uninstall-check.ts";

const DAEMONSET = "/apis/apps/v1/namespaces/istio-system/daemonsets/istio-cni-node";
const ANSWERS: readonly (readonly [string, number, object, string])[] = [
  ["forbids to ask", 403, {}, "unknown"],
  ["knows nobody any more", 401, {}, "unknown"],
  ["fails", 500, {}, "unknown"],
  ["has the DaemonSet", 200, { metadata: { name: "istio-cni-node" } }, "upgrade"],
  ["deletes the DaemonSet", 200, { metadata: { deletionTimestamp: "2026-01-01T00:00:00Z" } }, "removed"],
  ["has no DaemonSet", 404, {}, "removed"],
];
for (const [what, status, body, expected] of ANSWERS) {
  test(`an API that ${what} means: ${expected}`, async () => {
    const api = await FakeKubeApi.start();
    api.intercept = (request) => (request.path === DAEMONSET ? { status, body } : undefined);
    const client = kubeClientFor({ server: api.url });
    try {
      const reason = await whyStopping(client, "istio-system");
      assert.equal(reason.kind, expected);
    } finally {
      client.close();
      await api.close();
    }
  });
}

test("an API that is away means: unknown", async () => {
  const client = kubeClientFor({ server: "http://127.0.0.1:1" });
  assert.equal((await whyStopping(client, "istio-system")).kind, "unknown");
  client.close();
});

function aPodRef(uid: string): Parameters<ReturnType<typeof aDataplane>["join"]>[0] {
  return { uid: podUid(uid), name: uid, namespace: "shop", serviceAccount: "web", labels: {}, ips: [] };
}

function noted(calls: string[], change: Partial<RemovalDeps> = {}): RemovalDeps {
  return {
    refuseNewPods: () => calls.push("refuse new pods"),
    stopReconciling: () => calls.push("stop reconciling"),
    stopInstalling: () => calls.push("stop installing"),
    uninstall: () => calls.push("uninstall"),
    dataplane: aDataplane(fakeCapture(calls)),
    forgetNode: () => calls.push("forget the node"),
    log: silentLogger,
    ...change,
  };
}

test("what brings capture back ends first, then the plugin goes, then every pod leaves; one let in just before leaves, too", async () => {
  const calls: string[] = [];
  const dataplane = aDataplane(fakeCapture([]));
  await dataplane.join(aPodRef("u1"), aNetns(1n));
  const late = { joining: Promise.resolve<unknown>(undefined) };
  await removeFromNode(
    noted(calls, {
      dataplane: {
        pods: dataplane.pods,
        leave: async (uid) => {
          calls.push(`leave ${uid}`);
          if (uid === "u1") late.joining = dataplane.join(aPodRef("u2"), aNetns(2n));
          await late.joining;
          await dataplane.leave(uid);
        },
      },
    }),
  );
  assert.deepEqual(calls, [
    "refuse new pods",
    "stop reconciling",
    "stop installing",
    "uninstall",
    "leave u1",
    "leave u2",
    "forget the node",
  ]);
  assert.equal(dataplane.pods.all().length, 0);
});

test("a plugin that cannot be removed keeps no pod captured", async () => {
  const calls: string[] = [];
  const dataplane = aDataplane(fakeCapture([]));
  await dataplane.join(aPodRef("u1"), aNetns(1n));
  const uninstall = (): void => {
    throw new Error("read-only file system");
  };
  await removeFromNode(noted(calls, { dataplane, uninstall }));
  assert.equal(dataplane.pods.all().length, 0);
});

test("the plugin's entry and program go and do not come back, though the directory was watched", async () => {
  const root = mkdtempSync(join(tmpdir(), "ambit-removal-"));
  const options = { binDir: join(root, "bin"), confDir: join(root, "net.d"), agentSocket: "/run/a.sock" };
  const conf = join(options.confDir, "10-net.conflist");
  mkdirSync(options.confDir);
  writeFileSync(conf, JSON.stringify({ cniVersion: "1.0.0", name: "net", plugins: [{ type: "bridge" }] }));
  const stopInstalling = keepInstalled(options, silentLogger, () => undefined);
  try {
    assert.match(readFileSync(conf, "utf8"), new RegExp(PLUGIN_TYPE));
    await removeFromNode(noted([], { stopInstalling, uninstall: () => uninstallPlugin(options) }));
    await changeSeen(options.confDir);
    assert.doesNotMatch(readFileSync(conf, "utf8"), new RegExp(PLUGIN_TYPE));
    assert.equal(existsSync(join(options.binDir, PLUGIN_TYPE)), false);
  } finally {
    stopInstalling();
    rmSync(root, { recursive: true });
  }
});

/** A change made now has been told to every watcher of the directory: earlier ones have been, too. */
function changeSeen(directory: string): Promise<void> {
  return new Promise((resolve) => {
    const watcher = watch(directory, (_event, name) => {
      if (name !== "sentinel") return;
      watcher.close();
      setImmediate(resolve);
    });
    writeFileSync(join(directory, "sentinel"), "");
  });
}
