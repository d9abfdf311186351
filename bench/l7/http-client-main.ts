/** The HTTP load: one job (JSON in the first argument), messages on standard output, then it ends. */
import type { LoadMessage } from "../load/messages.ts";
import type { HttpJob } from "./http-jobs.ts";
import { runHttp } from "./run-http.ts";

function say(message: LoadMessage): void {
  process.stdout.write(`${JSON.stringify(message)}\n`);
}

try {
  await runHttp(JSON.parse(process.argv[2] ?? "{}") as HttpJob, say);
  process.exit(0);
} catch (error) {
  say({ event: "failed", reason: error instanceof Error ? error.message : String(error) });
  process.exit(1);
}
