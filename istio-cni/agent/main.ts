/** The node agent's process. */
import { describeProblems } from "#core/base/parse-result.ts";
import { EnvReader } from "#core/runtime/env.ts";
import { AmbitError } from "#core/runtime/errors.ts";
import { createLog } from "#core/runtime/log.ts";
import { runMain } from "#core/runtime/run-main.ts";
import { startAgent } from "./app.ts";
import { parseAgentConfig } from "./config.ts";

const config = parseAgentConfig(new EnvReader());
const log = createLog("agent", { level: config.ok ? config.value.logLevel : "info" }).root;
await runMain(log, () => {
  if (!config.ok) throw new AmbitError("AGENT_CONFIG", describeProblems(config.problems));
  return startAgent(config.value, log);
});
