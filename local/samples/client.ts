/** A pod to run commands in; with TARGET_URL it asks that address every PERIOD and writes one line per answer. */
import { get } from "node:http";
import { EnvReader } from "#core/runtime/env.ts";

const env = new EnvReader();
const target = env.string("TARGET_URL", { default: "", help: "address to ask; empty: only wait" });
const periodMs = env.durationMs("PERIOD", { default: 1_000, help: "time between two requests" });

function report(fields: Readonly<Record<string, unknown>>): void {
  process.stdout.write(`${JSON.stringify({ ts: new Date().toISOString(), target, ...fields })}\n`);
}

function ask(): void {
  const request = get(target, { agent: false, timeout: 5_000 }, (answer) => {
    answer.resume();
    answer.on("end", () => report({ status: answer.statusCode }));
  });
  request.on("timeout", () => request.destroy(new Error("no answer in time")));
  request.on("error", (error) => report({ error: error.message }));
}

setInterval(() => {
  if (target !== "") ask();
}, periodMs);
process.on("SIGTERM", () => process.exit(0));
