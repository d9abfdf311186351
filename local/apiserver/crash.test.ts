/** `kill -9` while objects are written: whatever was acknowledged is there afterwards, and revisions go on. */
import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { test } from "node:test";
import { dig } from "./object.ts";
import { clientOf, nameOf } from "./testing/test-api.ts";

const MAPS = "/api/v1/namespaces/default/configmaps";
const PROGRAM = new URL("testing/serve.ts", import.meta.url).pathname;

async function start(dataDir: string): Promise<{ child: ChildProcess; kubeconfig: string }> {
  const child = spawn(process.execPath, [PROGRAM, dataDir], { stdio: ["ignore", "pipe", "inherit"] });
  assert.ok(child.stdout !== null);
  const [line] = (await once(createInterface(child.stdout), "line")) as [string];
  return { child, kubeconfig: JSON.parse(line) as string };
}

test("what was acknowledged survives kill -9, at any moment", { timeout: 60_000 }, async () => {
  const dataDir = mkdtempSync(join(tmpdir(), "ambit-crash-"));
  const acknowledged = new Set<string>();
  let highest = 0;
  try {
    for (let round = 0; round < 3; round += 1) {
      const { child, kubeconfig } = await start(dataDir);
      const client = clientOf(kubeconfig);
      const before = await client.request("GET", MAPS);
      const names = new Set((before.body["items"] as unknown[]).map(nameOf));
      for (const name of acknowledged) assert.ok(names.has(name), `${name} was acknowledged and is gone`);
      assert.ok(Number(dig(before.body, "metadata", "resourceVersion")) >= highest);
      const stopAt = 40 + round * 35;
      let died = false;
      const writers = Array.from({ length: 8 }, async (_unused, writer) => {
        for (let i = 0; !died && i < 400; i += 1) {
          const name = `r${round}-${writer}-${i}`;
          const answer = await client
            .request("POST", MAPS, { body: { metadata: { name } } })
            .catch(() => undefined);
          if (answer?.code !== 201) return;
          acknowledged.add(name);
          highest = Math.max(highest, Number(dig(answer.body, "metadata", "resourceVersion")));
          if (acknowledged.size >= stopAt * (round + 1) && !died) {
            died = true;
            child.kill("SIGKILL");
          }
        }
      });
      await Promise.all(writers);
      if (!died) child.kill("SIGKILL");
      if (child.exitCode === null && child.signalCode === null) await once(child, "exit");
      client.close();
    }
    const { child, kubeconfig } = await start(dataDir);
    const client = clientOf(kubeconfig);
    const final = await client.request("GET", MAPS);
    const names = new Set((final.body["items"] as unknown[]).map(nameOf));
    const lost = [...acknowledged].filter((name) => !names.has(name));
    assert.deepEqual(lost, [], `${acknowledged.size} acknowledged`);
    client.close();
    child.kill("SIGKILL");
  } finally {
    rmSync(dataDir, { recursive: true, force: true });
  }
});
