/** A process that owns a cluster, for tests that kill it: `test-owner.ts ID NODES`; prints one JSON line when the cluster is up. */
import { createLog } from "#core/runtime/log.ts";
import { clusterUp } from "./cluster.ts";

const [id = "", nodes = "2"] = process.argv.slice(2);
const cluster = await clusterUp({
  id,
  nodes: Number(nodes),
  build: ["kubelet", "sample-echo", "sample-client"],
  log: createLog("owner", { level: "warn" }).root,
  sandboxRetryMs: 500,
  crashBackoffMs: 500,
});
process.stdout.write(`${JSON.stringify({ ...cluster, down: undefined })}\n`);
process.on("SIGTERM", () => void cluster.down().then(() => process.exit(0)));
