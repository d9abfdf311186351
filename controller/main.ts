/** The controller: reads its environment, runs until SIGTERM, drains. */
import { describeProblems } from "#core/base/parse-result.ts";
import { loadKubeClient } from "#core/k8s/load-config.ts";
import { EnvReader } from "#core/runtime/env.ts";
import { AmbitError } from "#core/runtime/errors.ts";
import { createLog } from "#core/runtime/log.ts";
import { runMain } from "#core/runtime/run-main.ts";
import { startController } from "./app.ts";
import { parseConfig } from "./config.ts";

const config = parseConfig(new EnvReader());
const { root } = createLog("controller", { level: config.ok ? config.value.logLevel : "info" });

await runMain(root, () => {
  if (!config.ok) throw new AmbitError("CONFIG_INVALID", describeProblems(config.problems));
  return startController(config.value, { client: loadKubeClient(config.value.kubeconfig), log: root });
});
