/** waypoint: the L7 proxy of a namespace. Reads its environment, runs until SIGTERM, drains. */
import { describeProblems } from "#core/base/parse-result.ts";
import { EnvReader } from "#core/runtime/env.ts";
import { AmbitError } from "#core/runtime/errors.ts";
import { createLog } from "#core/runtime/log.ts";
import { plainLine } from "#core/runtime/plain-log.ts";
import { runMain } from "#core/runtime/run-main.ts";
import { startWaypoint } from "./app.ts";
import { parseSettings } from "./config.ts";
import { serveWaypoint } from "./serve-waypoint.ts";

const settings = parseSettings(new EnvReader());
const plain = settings.ok && settings.value.logFormat === "plain";
const control = createLog("waypoint", {
  level: settings.ok ? settings.value.logLevel : "info",
  ...(plain ? { write: (line: string) => void process.stderr.write(plainLine(line)) } : {}),
});

await runMain(control.root, () => {
  if (!settings.ok) throw new AmbitError("CONFIG_INVALID", describeProblems(settings.problems));
  return startWaypoint(settings.value, control, (deps) => serveWaypoint(deps));
});
