/**
 * The fences of deploy/ as a real API server judged them (testdata/fences-real-1.35.jsonl, recorded with record-fences.ts): the local cluster
 * answers the very same requests the same way.
 */
import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { loadKubeClient } from "#core/k8s/load-config.ts";
import { startTestApi, type TestApi } from "#local/apiserver/testing/test-api.ts";
import { applyManifest, readManifests } from "#local/manifests.ts";
import { askFence, type FenceExchange } from "./testing/fence-exchanges.ts";

const ROOT = join(import.meta.dirname, "..");
const EXCHANGES = readFileSync(new URL("testdata/fences-real-1.35.jsonl", import.meta.url), "utf8")
  .trim()
  .split("\n")
  .map((line) => JSON.parse(line) as FenceExchange);
/** No daemon: nothing else writes. */
const KINDS_OF_NO_INTEREST = new Set(["Deployment", "DaemonSet"]);

let api: TestApi;
before(async () => {
  api = await startTestApi();
  const directory = mkdtempSync(join(tmpdir(), "ambit-fences-"));
  const kubeconfig = join(directory, "kubeconfig");
  writeFileSync(kubeconfig, api.server.adminKubeconfig, { mode: 0o600 });
  const client = loadKubeClient(kubeconfig);
  rmSync(directory, { recursive: true });
  for (const folder of ["crds", "deploy"])
    for (const manifest of readManifests(join(ROOT, folder)))
      if (!KINDS_OF_NO_INTEREST.has(String(manifest["kind"]))) await applyManifest(client, manifest);
  client.close();
});
after(() => api.close());

test("every fence was seen to refuse", () => {
  const seen = new Set(
    EXCHANGES.flatMap(({ answer }) => (answer && "refusedBy" in answer ? answer.refusedBy : [])),
  );
  const waypoints = readManifests(join(ROOT, "deploy"))
    .filter((manifest) => manifest["kind"] === "ValidatingAdmissionPolicy")
    .map((manifest) => (manifest["metadata"] as { readonly name: string }).name)
    .filter((name) => name.startsWith("ambit-waypoint") || name.startsWith("ambit-controller"));
  assert.deepEqual(
    waypoints.filter((name) => !seen.has(name)),
    [],
  );
});

for (const exchange of EXCHANGES)
  test(exchange.case, async () => assert.deepEqual(await askFence(api, exchange), exchange.answer));
