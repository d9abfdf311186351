import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { reapDeadTopologies } from "./testing/leftovers.ts";
import { skipWithoutRoot } from "./testing/topology.ts";

test(
  "a killed run leaves nothing that the next one does not remove",
  { skip: skipWithoutRoot() },
  async () => {
    const script = `
    import { createTopology } from ${JSON.stringify(join(import.meta.dirname, "testing/topology.ts"))};
    import { startRelay } from ${JSON.stringify(join(import.meta.dirname, "testing/relay.ts"))};
    const t = createTopology();
    await startRelay(t, [t.a]);
    const outcome = await t.capture("auto").enrolPod(t.a.target);
    process.stdout.write(outcome.kind);
    setInterval(() => {}, 1000);`;
    const child = spawn(process.execPath, ["--input-type=module", "-e", script], {
      cwd: import.meta.dirname,
    });
    child.stderr.pipe(process.stderr);
    const [said] = (await once(child.stdout, "data", { signal: AbortSignal.timeout(20_000) })) as [Buffer];
    assert.equal(said.toString(), "enrolled");
    const mine = (directory: string): readonly string[] =>
      existsSync(directory)
        ? readdirSync(directory).filter((n) => n.startsWith(`ambit-cap${child.pid}-`))
        : [];
    assert.equal(mine("/run/netns").length, 5);
    assert.equal(mine("/run").length, 1);
    child.kill("SIGKILL");
    await once(child, "exit");
    reapDeadTopologies();
    assert.deepEqual([mine("/run/netns"), mine("/run")], [[], []]);
  },
);
