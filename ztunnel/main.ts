/** ztunnel: the node's L4 proxy. Reads its environment, runs until SIGTERM, drains. */
import { describeProblems } from "#core/base/parse-result.ts";
import { EnvReader } from "#core/runtime/env.ts";
import { AmbitError } from "#core/runtime/errors.ts";
import { createLog } from "#core/runtime/log.ts";
import { plainLine } from "#core/runtime/plain-log.ts";
import { runMain } from "#core/runtime/run-main.ts";
import { startZtunnel } from "./app.ts";
import { parseConfig } from "./config.ts";

const config = parseConfig(new EnvReader());
const plain = config.ok && config.value.logFormat === "plain";
const control = createLog("ztunnel", {
  level: config.ok ? config.value.logLevel : "info",
  ...(plain ? { write: (line: string) => void process.stderr.write(plainLine(line)) } : {}),
});

await runMain(control.root, () => {
  if (!config.ok) throw new AmbitError("CONFIG_INVALID", describeProblems(config.problems));
  return startZtunnel(config.value, control);
});
