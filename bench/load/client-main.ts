/** The load generator: one job (JSON in the first argument), messages on standard output, then it ends. */
import type { LoadJob, LoadMessage } from "./messages.ts";
import { runBulk } from "./run-bulk.ts";
import { runConnections } from "./run-connections.ts";
import { runIdle, runProbe } from "./run-idle.ts";
import { runPing } from "./run-ping.ts";

function say(message: LoadMessage): void {
  process.stdout.write(`${JSON.stringify(message)}\n`);
}

function run(job: LoadJob): Promise<void> {
  switch (job.kind) {
    case "probe":
      return runProbe(job, say);
    case "bulk":
      return runBulk(job, say);
    case "ping":
      return runPing(job, say);
    case "connections":
      return runConnections(job, say);
    case "idle":
      return runIdle(job, say);
  }
}

try {
  await run(JSON.parse(process.argv[2] ?? "{}") as LoadJob);
  process.exit(0);
} catch (error) {
  say({ event: "failed", reason: error instanceof Error ? error.message : String(error) });
  process.exit(1);
}
